// Extensions made on the spot, as VSIX files, one of each kind; and a gallery that speaks what the engine asks of Open VSX.

import http from 'node:http';

import { zip } from './zip.mjs';

/** A VSIX of `hoody-test.NAME`: `manifest` is merged into its package.json, `main` is the text of its program. */
export function vsix(name, manifest = {}, main = undefined, files = {}) {
  const whole = { name, publisher: 'hoody-test', version: '1.0.0', displayName: `The ${name}`, engines: { vscode: '^1.60.0' }, ...(main ? { main: './main.js' } : {}), ...manifest };
  const description = `<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
<Metadata><Identity Language="en-US" Id="${name}" Version="${whole.version}" Publisher="${whole.publisher}"/><DisplayName>${whole.displayName}</DisplayName></Metadata>
<Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation><Dependencies/>
<Assets><Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/></Assets>
</PackageManifest>`;
  const types = `<?xml version="1.0" encoding="utf-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension=".json" ContentType="application/json"/><Default Extension=".vsixmanifest" ContentType="text/xml"/></Types>`;
  const content = Object.fromEntries(Object.entries(files).map(([file, text]) => [`extension/${file}`, text]));
  if (main) content['extension/main.js'] = main;
  return zip({ '[Content_Types].xml': types, 'extension.vsixmanifest': description, 'extension/package.json': JSON.stringify(whole), ...content });
}

const ICON = '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24"><circle cx="12" cy="12" r="9"/></svg>\n';
const TREE = (view, label) => `const vscode = require('vscode');
exports.activate = () => vscode.window.registerTreeDataProvider('${view}', {
  getChildren: () => ['${label}'],
  getTreeItem: (text) => new vscode.TreeItem(text),
});
`;

/** One of each kind; each shows a word of its own when it is in front. */
export const kinds = {
  container: () => vsix('container', {
    activationEvents: ['onView:berths'],
    contributes: { viewsContainers: { activitybar: [{ id: 'harbour', title: 'Harbour', icon: 'icon.svg' }] }, views: { harbour: [{ id: 'berths', name: 'Berths' }] } },
  }, TREE('berths', 'Berth of the Pinta'), { 'icon.svg': ICON }),
  panel: () => vsix('panel', {
    activationEvents: ['onView:tides'],
    contributes: { viewsContainers: { panel: [{ id: 'sea', title: 'Sea', icon: 'icon.svg' }] }, views: { sea: [{ id: 'tides', name: 'Tides' }] } },
  }, TREE('tides', 'High tide at noon'), { 'icon.svg': ICON }),
  standard: () => vsix('standard', {
    activationEvents: ['onView:cargo'],
    contributes: { views: { explorer: [{ id: 'cargo', name: 'Cargo' }] } },
  }, TREE('cargo', 'Barrels of herring')),
  editor: () => vsix('editor', {
    activationEvents: ['onCustomEditor:chart.editor'],
    contributes: { customEditors: [{ viewType: 'chart.editor', displayName: 'Chart', selector: [{ filenamePattern: '*.chart' }] }] },
  }, `const vscode = require('vscode');
exports.activate = () => vscode.window.registerCustomEditorProvider('chart.editor', {
  resolveCustomTextEditor(document, panel) { panel.webview.html = '<h1>Chart of ' + document.getText() + '</h1>'; },
});
`),
  webview: () => vsix('webview', {
    activationEvents: ['onCommand:bridge.log', 'onCommand:bridge.open'],
    contributes: { commands: [{ command: 'bridge.log', title: 'Log' }, { command: 'bridge.open', title: 'Open Bridge', category: 'Bridge' }] },
  }, `const vscode = require('vscode');
exports.activate = () => vscode.commands.registerCommand('bridge.open', () => {
  vscode.window.createWebviewPanel('bridge', 'Bridge', vscode.ViewColumn.One).webview.html = '<h1>All hands on deck</h1>';
});
`),
  theme: () => vsix('theme', { contributes: { snippets: [{ language: 'markdown', path: './snippets.json' }] }, description: 'Words for sailors' }, undefined, { 'snippets.json': '{}', 'README.md': '# Words for sailors\n' }),
};

/**
 * A gallery on a free port: `files` is id → VSIX bytes. `gallery.asked` has the paths of its requests; `gallery.hold()` keeps
 * downloads waiting until the returned function is called.
 */
export async function gallery(files) {
  const asked = [];
  let gate = Promise.resolve();
  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url, 'http://gallery');
    asked.push(url.pathname);
    const base = `http://127.0.0.1:${server.address().port}`;
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Access-Control-Allow-Headers', '*');
    if (request.method === 'OPTIONS') return response.end();
    const json = (value) => response.setHeader('Content-Type', 'application/json').end(JSON.stringify(value));
    const describe = (id) => {
      const [publisher, name] = id.split('.');
      const asset = (type) => `${base}/asset/${id}/${type}`;
      return {
        extensionId: `00000000-0000-4000-8000-${Buffer.from(name).toString('hex').padStart(12, '0').slice(-12)}`,
        extensionName: name, displayName: `The ${name}`, shortDescription: '', publisher: { publisherName: publisher, displayName: publisher, publisherId: publisher },
        flags: 'validated', statistics: [], categories: [], tags: [],
        versions: [{
          version: '1.0.0', lastUpdated: '2026-01-01T00:00:00Z', assetUri: asset(''), fallbackAssetUri: asset(''),
          files: ['Microsoft.VisualStudio.Services.VSIXPackage', 'Microsoft.VisualStudio.Code.Manifest'].map((type) => ({ assetType: type, source: asset(type) })),
          properties: [{ key: 'Microsoft.VisualStudio.Code.Engine', value: '^1.60.0' }],
        }],
      };
    };
    const latest = /^\/gallery\/vscode\/([^/]+)\/([^/]+)\/latest$/.exec(url.pathname);
    const asset = /^\/asset\/([^/]+)\/(.*)$/.exec(url.pathname);
    if (latest) {
      const id = `${latest[1]}.${latest[2]}`.toLowerCase();
      if (files[id]) return json(describe(id));
    } else if (url.pathname === '/gallery/extensionquery') {
      let body = '';
      for await (const piece of request) body += piece;
      const names = JSON.parse(body).filters[0].criteria.filter(({ filterType }) => filterType === 7).map(({ value }) => value.toLowerCase());
      const found = names.filter((id) => files[id]).map(describe);
      return json({ results: [{ extensions: found, resultMetadata: [{ metadataType: 'ResultCount', metadataItems: [{ name: 'TotalCount', count: found.length }] }] }] });
    } else if (asset && files[asset[1].toLowerCase()]) {
      asset[1] = asset[1].toLowerCase();
      if (asset[2].endsWith('VSIXPackage')) {
        await gate;
        return response.end(files[asset[1]]);
      }
      const [publisher, name] = asset[1].split('.');
      return json({ publisher, name, version: '1.0.0', engines: { vscode: '^1.60.0' } });
    }
    response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/gallery`,
    asked,
    hold() {
      let open;
      gate = new Promise((resolve) => (open = resolve));
      return open;
    },
    close: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}
