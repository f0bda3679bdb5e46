// The display language: asked for in the URL, kept by the browser, English where there is no language pack.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { picture, scene, until } from './support.mjs';
import { gallery, vsix } from './vsix.mjs';
import { command, emptyWindow } from './workbench.mjs';
import { zip } from './zip.mjs';

const FRENCH = 'Explorateur';

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

/**
 * Installs a VSIX as a person does. Not with the engine's own command line, which leaves out the list of installed languages
 * (coder/code-server#4735).
 */
async function install(page, instance, file) {
  await command(page, 'Extensions: Install from VSIX...');
  const field = page.locator('.quick-input-widget:visible .quick-input-box input');
  await until('the file is named', async () => {
    await field.fill(file);
    return page.locator('.quick-input-list .monaco-list-row').filter({ hasText: path.basename(file) }).first().waitFor({ timeout: 2_000 }).then(() => true);
  });
  await page.keyboard.press('Enter');
  await until('the language is known', () => 'fr' in JSON.parse(fs.readFileSync(path.join(instance.userData, 'languagepacks.json'), 'utf8')));
}

const title = (page) => page.locator('.part.sidebar .composite.title .title-label').textContent();

test('locale=fr with its language pack opens in French, and stays French in that browser', scene(async ({ daemon, directory, project, visit }) => {
  const page = await visit(`${daemon.url}?folder=${project}`);
  assert.equal(await title(page), 'Explorer');
  const vsix = path.join(directory, 'fr.vsix');
  fs.writeFileSync(vsix, languagePack());
  await install(page, daemon.instance(), vsix);
  await visit(`${daemon.url}?folder=${project}&locale=fr`, { page });
  assert.equal(await title(page), FRENCH);
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

test('a language whose pack the gallery has is installed when it is first asked for', scene({ start: false }, async ({ start, project, visit }) => {
  const pack = {
    publisher: 'MS-CEINTL',
    contributes: { localizations: [{ languageId: 'fr', languageName: 'French', localizedLanguageName: 'français', translations: [{ id: 'vscode', path: './main.json' }] }] },
  };
  const words = { version: '1.0.0', contents: { 'vs/workbench/contrib/files/browser/explorerViewlet': { explore: FRENCH } } };
  const shop = await gallery({ 'ms-ceintl.vscode-language-pack-fr': vsix('vscode-language-pack-fr', pack, undefined, { 'main.json': JSON.stringify(words) }) });
  try {
    const daemon = await start({ config: `[extensions]\ngallery = "${shop.url}"\n` });
    const page = await visit(`${daemon.url}?folder=${project}&locale=fr`);
    assert.equal(await title(page), FRENCH);
    const downloads = shop.asked.filter((path) => path.endsWith('VSIXPackage')).length;
    await visit(`${daemon.url}?folder=${project}&locale=de`, { page });
    assert.equal(await title(page), 'Explorer', 'one that it does not have is English');
    assert.equal(shop.asked.filter((path) => path.endsWith('VSIXPackage')).length, downloads);
  } finally {
    await shop.close();
  }
}));
