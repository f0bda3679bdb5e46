// Statistics and the table.

export const sorted = (values) => Float64Array.from(values).sort();

/** Nearest rank: a value that was measured, never one in between. */
export function quantile(values, q) {
  const all = sorted(values);
  return all[Math.min(all.length - 1, Math.max(0, Math.ceil(q * all.length) - 1))];
}

export const median = (values) => quantile(values, 0.5);

export const round = (value, digits = 0) => Number(value.toFixed(digits));

/** Digits in groups of three, as people read them. */
export const show = (value, digits = 0) =>
  value === undefined || Number.isNaN(value) ? '–' : value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Columns lined up: the first to the left, the others to the right. */
export function table(rows) {
  const width = (text) => [...text].length;
  const widths = rows.reduce((all, row) => row.map((cell, i) => Math.max(all[i] ?? 0, width(cell))), []);
  const pad = (cell, i) => (i === 0 ? cell + ' '.repeat(widths[0] - width(cell)) : ' '.repeat(widths[i] - width(cell)) + cell);
  return rows.map((row) => `  ${row.map(pad).join('   ')}`.trimEnd()).join('\n');
}
