// What the documents say an operator types and writes: for tests that do exactly that.

import assert from 'node:assert/strict';
import fs from 'node:fs';

/** The blocks of one kind below a heading of a document; its beginning is below none. */
export function blocks(heading, kind = 'sh', name = 'fleet.md') {
  const document = fs.readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
  const sections = document.split(/^## /m);
  const section = heading === undefined ? sections[0] : sections.find((text) => text.startsWith(`${heading}\n`));
  assert.ok(section, `docs/${name} has no "${heading}"`);
  return [...section.matchAll(new RegExp(`^\`\`\`${kind}\n(.*?)^\`\`\`$`, 'gms'))].map((match) => match[1]);
}
