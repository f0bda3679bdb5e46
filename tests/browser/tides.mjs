// A small project that looks like somebody's work: for the pictures in docs/.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { until } from './daemon.mjs';

const FILES = {
  'README.md': '# Tides\n\nWhen is high water? Reads a table of measured levels and says.\n',
  'package.json': '{\n  "name": "tides",\n  "version": "1.2.0",\n  "type": "module",\n  "scripts": {\n    "test": "node --test"\n  }\n}\n',
  '.gitignore': 'node_modules/\n',
  'src/levels.js': 'export const LEVELS = [0.4, 0.9, 1.8, 2.6, 2.9, 2.5, 1.7, 0.8, 0.3, 0.5, 1.2, 2.2, 2.8, 2.4];\n',
  'src/tides.js': `/**
 * A turning point of the water: its hour, and how high it stands there.
 * @typedef {{ kind: 'high' | 'low', hour: number, level: number }} Tide
 */

/** Finds the turning points in hourly levels, in metres. */
export function tides(levels) {
  const found = [];
  for (let hour = 1; hour < levels.length - 1; hour++) {
    const [before, level, after] = levels.slice(hour - 1, hour + 2);
    if (level > before && level >= after) found.push({ kind: 'high', hour, level });
    if (level < before && level <= after) found.push({ kind: 'low', hour, level });
  }
  return found;
}

/** The next high water after \`hour\`, or undefined when the table ends before it. */
export function nextHighWater(levels, hour) {
  return tides(levels).find((tide) => tide.kind === 'high' && tide.hour > hour);
}

export const format = ({ kind, hour, level }) =>
  \`\${String(hour).padStart(2, '0')}:00  \${kind.padEnd(4)}  \${level.toFixed(1)} m\`;
`,
  'src/main.js': "import { LEVELS } from './levels.js';\nimport { format, tides } from './tides.js';\n\nfor (const tide of tides(LEVELS)) console.log(format(tide));\n",
  'test/tides.test.js': `import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LEVELS } from '../src/levels.js';
import { nextHighWater, tides } from '../src/tides.js';

test('two high waters and one low in a day', () => {
  assert.deepEqual(tides(LEVELS).map(({ kind }) => kind), ['high', 'low', 'high']);
});

test('the next high water', () => {
  assert.equal(nextHighWater(LEVELS, 4).hour, 12);
});

test('no high water after the last one', () => {
  assert.equal(nextHighWater(LEVELS, 12), undefined);
});
`,
};

export const SETTINGS = `[page.settings]
"workbench.colorTheme" = "Dark Modern"
"security.workspace.trust.enabled" = false
"workbench.startupEditor" = "none"
"telemetry.telemetryLevel" = "off"
"remote.autoForwardPorts" = false
"git.openRepositoryInParentFolders" = "never"
"terminal.integrated.defaultProfile.linux" = "bash"
`;

/** Makes the project in `directory`, and returns its path. */
export function makeTides(directory) {
  const project = path.join(directory, 'tides');
  for (const [name, content] of Object.entries(FILES)) {
    fs.mkdirSync(path.dirname(path.join(project, name)), { recursive: true });
    fs.writeFileSync(path.join(project, name), content);
  }
  const git = (...words) => execFileSync('git', ['-C', project, '-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', ...words]);
  git('init', '--quiet', '--initial-branch=main');
  git('add', '.');
  git('commit', '--quiet', '--message=High and low water');
  // Something to see in the source control view's badge and in the gutter.
  const source = path.join(project, 'src/tides.js');
  fs.writeFileSync(source, fs.readFileSync(source, 'utf8').replace('tide.hour > hour);', 'tide.hour > hour);\n  // TODO: carry on into the next day'));
  return project;
}

/** Gives the terminals of `daemon` a prompt. Each leaves a line in a file, so that it is known when the commands have run. */
export function makePrompt(daemon) {
  const prompt = "PS1='\\[\\e[32m\\]ada@harbour\\[\\e[0m\\]:\\[\\e[34m\\]~/tides\\[\\e[0m\\]$ '\nPROMPT_COMMAND='echo >>../prompts'\n";
  fs.writeFileSync(path.join(daemon.home, '.bashrc'), prompt);
}

/** Waits for the prompt number `count` since the file was begun. */
export async function prompts(directory, count) {
  await until(`prompt ${count}`, () => fs.readFileSync(path.join(directory, 'prompts'), 'utf8').length >= count);
}
