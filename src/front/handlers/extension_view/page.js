(() => {
  const config = __CONFIG__;
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
