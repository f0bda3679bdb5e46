(() => {
  const config = __CONFIG__;
  // The layout of this page is its own: kept in the same databases, it would be the full editor's of the same folder as well.
  // What extensions keep for all folders, and secrets, stay shared.
  const open = IDBFactory.prototype.open;
  IDBFactory.prototype.open = function (name, ...rest) {
    const own = /^vscode-web-state-db-(?!global)/.test(name) ? `${name}-extension-${config.key}` : name;
    return open.call(this, own, ...rest);
  };
  // In the database for all folders there is some layout, too: which side bars there are, in which order, what was moved where.
  const layout = /^(views\.|workbench\.(activity|panel|auxiliarybar|sidebar|statusbar|layout|view)\b)|\.state\.hidden$/i;
  for (const name of ["put", "delete"]) {
    const change = IDBObjectStore.prototype[name];
    IDBObjectStore.prototype[name] = function (...args) {
      const key = args[name === "put" ? 1 : 0];
      const shared = this.transaction.db.name.startsWith("vscode-web-state-db-global");
      // A question in its place: whoever asked for the change waits for an answer.
      return shared && typeof key === "string" && layout.test(key) ? this.get(key) : change.apply(this, args);
    };
  }
  // Where the page is, behind whatever proxy, only the browser knows.
  const meta = document.getElementById("vscode-workbench-web-configuration");
  const settings = JSON.parse(meta.dataset.settings);
  const helper = new URL(config.helper, location.href);
  const { protocol, host, pathname } = helper;
  settings.additionalBuiltinExtensions = [...(settings.additionalBuiltinExtensions ?? []),
    { scheme: protocol.slice(0, -1), authority: host, path: pathname }];
  meta.dataset.settings = JSON.stringify(settings);
  // Our extension is asked for its manifest several times while the window comes up, and is late when the line is slow.
  const known = { "/package.json": config.manifest, "/package.nls.json": {} };
  const fetch = globalThis.fetch;
  globalThis.fetch = function (input, ...rest) {
    const url = String(input?.url ?? input);
    const file = url.startsWith(helper.href) ? known[url.slice(helper.href.length)] : undefined;
    return file ? Promise.resolve(Response.json(file)) : fetch.call(this, input, ...rest);
  };
})();
