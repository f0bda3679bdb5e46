// Below a path it has to be told which, for its files and for the websocket that says what has changed: docs/ports.md.
const base = process.env.BASE ?? '/';

module.exports = {
  mode: 'development',
  entry: './src/main.js',
  output: { publicPath: base },
  devServer: {
    static: { directory: 'public', publicPath: base },
    ...(base !== '/' && { client: { webSocketURL: `auto://0.0.0.0:0${base}ws` }, webSocketServer: { options: { path: `${base}ws` } } }),
  },
};
