// The display language: asked for in the URL, kept by the browser, English where there is no language pack.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { engine, picture, scene } from './support.mjs';
import { emptyWindow } from './workbench.mjs';
import { zip } from './zip.mjs';

const FRENCH = 'Explorateur de test';

/** A language pack with one word in it, as a VSIX. */
function languagePack() {
  const manifest = {
    name: 'language-pack-test', publisher: 'hoody-test', version: '1.0.0', engines: { vscode: '^1.60.0' },
    contributes: {
      localizations: [{ languageId: 'fr', languageName: 'French', localizedLanguageName: 'français', translations: [{ id: 'vscode', path: './main.json' }] }],
    },
  };
  const translations = { version: '1.0.0', contents: { 'vs/workbench/contrib/files/browser/explorerViewlet': { explore: FRENCH } } };
  const vsix = `<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
<Metadata><Identity Language="en-US" Id="${manifest.name}" Version="${manifest.version}" Publisher="${manifest.publisher}"/><DisplayName>French</DisplayName></Metadata>
<Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation><Dependencies/>
<Assets><Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/></Assets>
</PackageManifest>`;
  const types = `<?xml version="1.0" encoding="utf-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension=".json" ContentType="application/json"/><Default Extension=".vsixmanifest" ContentType="text/xml"/></Types>`;
  return zip({
    '[Content_Types].xml': types,
    'extension.vsixmanifest': vsix,
    'extension/package.json': JSON.stringify(manifest),
    'extension/main.json': JSON.stringify(translations),
  });
}

/** Installs a VSIX with the engine's own command. */
async function install(instance, file) {
  const dir = engine();
  const places = ['--user-data-dir', instance.userData, '--extensions-dir', instance.extensions, '--server-data-dir', instance.userData];
  const { stdout } = await promisify(execFile)(path.join(dir, 'node'), [path.join(dir, 'vscode/out/server-main.js'), '--accept-server-license-terms', '--install-extension', file, ...places]);
  assert.match(stdout, /successfully installed/);
}

const title = (page) => page.locator('.part.sidebar .composite.title .title-label').innerText();

test('locale=fr with its language pack opens in French, and stays French in that browser', scene(async ({ daemon, directory, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}`);
  assert.equal(await title(page), 'Explorer');
  const vsix = path.join(directory, 'fr.vsix');
  fs.writeFileSync(vsix, languagePack());
  await install(daemon.instance(), vsix);
  await visit(`${daemon.url}?folder=${project}&locale=fr`, { page });
  assert.equal(await title(page), FRENCH);
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'fr');
  await picture(page, 'french');
  await visit(daemon.url, { page });
  assert.equal(await title(page), FRENCH, 'without the parameter it stays');
  const other = await visit(daemon.url);
  assert.equal(await title(other), 'Explorer', "another browser's language is its own matter");
  await visit(`${daemon.url}?locale=en`, { page });
  assert.equal(await title(page), 'Explorer', 'and back');
}));

test('a language without a pack opens in English', scene(async ({ daemon, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}&locale=fr`);
  assert.equal(await title(page), 'Explorer');
  await visit(`${daemon.url}?ew=true&locale=zh-CN`, { page });
  await emptyWindow(page);
  assert.equal(await title(page), 'Explorer');
}));
