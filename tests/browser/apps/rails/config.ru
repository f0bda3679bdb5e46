# As `rails new` has it in development: host names that are its own, and forms that have to come from its own origin.
require 'rails'
require 'action_controller/railtie'

class Ships < Rails::Application
  config.root = __dir__
  config.eager_load = false
  config.secret_key_base = 'x' * 64
  config.logger = Logger.new($stdout)
  config.hosts = ['.localhost']
  config.action_controller.forgery_protection_origin_check = true
  routes.append do
    root to: 'ships#index'
    post '/ships', to: 'ships#create'
  end
end

class ShipsController < ActionController::Base
  protect_from_forgery with: :exception

  def index
    form = '<%= form_with url: "/ships", local: true do |f| %><%= f.text_field :name %><%= f.submit "Launch" %><% end %>'
    render inline: "<link rel=icon href=data:,><h1>Hello from Rails</h1>#{form}<p><%= flash[:ship] %></p>"
  end

  def create
    flash[:ship] = params[:name]
    redirect_to '/'
  end
end

Ships.initialize!
run Ships
