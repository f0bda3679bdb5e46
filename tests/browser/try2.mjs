import { test } from 'node:test';
import { scene, picture, until } from './support.mjs';
test('try2', scene(async ({ daemon, project, profile }) => {
  const page = await profile();
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Runtime.enable');
  cdp.on('Runtime.consoleAPICalled', (e) => { if (e.type === 'error') console.log(Date.now()%100000, JSON.stringify(e.args.map(a=>a.value ?? a.description)), JSON.stringify(e.stackTrace?.callFrames.slice(0,8).map(f=>f.functionName+':'+f.lineNumber+':'+f.columnNumber))) });
  page.on('requestfailed', r => console.log(Date.now()%100000, r.method(), r.url(), r.failure().errorText));
  page.on('response', r => r.status()>=300 && console.log(Date.now()%100000, r.status(), r.url()));
  await page.goto(`${daemon.url}?folder=${project}`);
  await page.waitForTimeout(15000);
}));
