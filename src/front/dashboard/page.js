// The operator's page: what /api/v1/instances says, every two seconds, and what it said before, as lines.
'use strict';

const PAUSE = 2000;
const KEPT = 90;
const history = new Map();
const cards = new Map();
const find = (id) => document.getElementById(id);

const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};
const bytes = (n) => (n >= 2 ** 30 ? `${(n / 2 ** 30).toFixed(1)} GiB` : `${Math.round(n / 2 ** 20)} MiB`);
const span = (s) => (s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`);

function remember(row, now) {
  const kept = history.get(row.id) ?? { memory: [], cpu: [], clients: [] };
  history.set(row.id, kept);
  const runs = row.state === 'running';
  const push = (list, value) => {
    list.push(value);
    if (list.length > KEPT) list.shift();
  };
  push(kept.clients, row.clients);
  push(kept.memory, runs ? row.usage?.memory : undefined);
  const last = kept.last;
  const share = runs && last?.generation === row.generation && row.usage && last.cpu !== undefined
    ? Math.max(0, (row.usage.cpu_usec - last.cpu) / 10 / (now - last.at)) : undefined;
  push(kept.cpu, share);
  kept.last = { generation: row.generation, cpu: row.usage?.cpu_usec, at: now };
  return kept;
}

function draw(path, values, least) {
  const most = Math.max(least, ...values.filter((value) => value !== undefined));
  let down = false;
  const from = KEPT - values.length;
  path.setAttribute('d', values.map((value, at) => {
    if (value === undefined) { down = false; return ''; }
    const point = `${down ? 'L' : 'M'}${from + at} ${(30 - (value / most) * 28).toFixed(1)}`;
    down = true;
    return point;
  }).join(''));
}

function chart(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', `0 0 ${KEPT - 1} 31`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('aria-hidden', 'true');
  const path = svg.appendChild(document.createElementNS('http://www.w3.org/2000/svg', 'path'));
  const value = make('span');
  return { element: make('figure', {}, make('figcaption', {}, make('span', { textContent: name }), value), svg), path, value };
}

function card(id) {
  const state = make('span', { className: 'state' });
  const facts = make('p', { className: 'facts' });
  const charts = { memory: chart('Memory'), cpu: chart('CPU'), clients: chart('Clients') };
  const button = (verb, label, ask) => make('button', {
    type: 'button', textContent: label,
    onclick: async (event) => {
      if (ask && !confirm(ask)) return;
      event.target.disabled = true;
      await order(id, verb);
      await look();
    },
  });
  const start = button('start', 'Start');
  const stop = button('stop', 'Stop', `Stop ${id}? What runs in its terminals ends. It stays stopped until somebody starts it.`);
  const restart = button('restart', 'Restart', `Restart ${id}? What runs in its terminals ends.`);
  const element = make('article', {}, make('h2', {}, make('span', { textContent: id, title: id }), state), facts,
    make('div', { className: 'charts' }, ...Object.values(charts).map((one) => one.element)),
    make('div', { className: 'buttons' }, start, stop, restart));
  return { element, state, facts, charts, start, stop, restart };
}

function show(row, kept) {
  const own = cards.get(row.id) ?? card(row.id);
  cards.set(row.id, own);
  own.element.className = row.state;
  own.state.textContent = row.state === 'failed' ? (row.cause?.kind ?? 'failed').replaceAll('_', ' ') : row.frozen ? 'frozen' : row.state;
  const used = row.last_used ? Math.max(0, Math.round((Date.now() - Date.parse(row.last_used)) / 1000)) : undefined;
  own.facts.textContent = [
    row.uptime_seconds !== null && `up ${span(row.uptime_seconds)}`,
    used !== undefined && (used < 5 ? 'in use' : `used ${span(used)} ago`),
    row.class, row.usage && `${row.usage.processes} processes`,
  ].filter(Boolean).join(' · ') || ' ';
  const latest = (list) => list[list.length - 1];
  const tell = (name, text, least) => {
    own.charts[name].value.textContent = latest(kept[name]) === undefined ? '–' : text(latest(kept[name]));
    draw(own.charts[name].path, kept[name], least);
  };
  tell('memory', bytes, 64 * 2 ** 20);
  tell('cpu', (share) => `${share.toFixed(0)} %`, 25);
  tell('clients', String, 4);
  const rests = row.state === 'stopped' || row.state === 'failed';
  own.start.disabled = !rests;
  own.stop.disabled = rests;
  own.restart.disabled = row.state !== 'running';
  return own.element;
}

function showHost(rows, host) {
  const count = (state) => rows.filter((row) => row.state === state).length;
  const facts = [['running', `${count('running')} of ${host.limit}`], ['starting', count('starting')], ['failed', count('failed')], ['all', rows.length],
    ...Object.entries(host.pressure).map(([name, share]) => [`${name} pressure`, `${Math.round(share * 100)} %`])];
  find('host').replaceChildren(...facts.map(([name, value]) => make('div', {}, make('dt', { textContent: name }), make('dd', { textContent: value }))));
}

function complain(text) {
  find('trouble').textContent = text;
  find('trouble').hidden = !text;
}

async function order(id, verb) {
  try {
    const answer = await fetch(`api/v1/instances/${id}/${verb}`, { method: 'POST' });
    complain(answer.ok ? '' : `${id}: ${(await answer.json()).error.message}`);
  } catch {
    complain('The service does not answer.');
  }
}

async function look() {
  let answer;
  try {
    answer = await (await fetch('api/v1/instances')).json();
    if (find('trouble').textContent.startsWith('The service')) complain('');
  } catch {
    return complain('The service does not answer.');
  }
  const now = Date.now();
  const weight = (row) => [row.state === 'running' ? 0 : row.state === 'starting' ? 1 : row.state === 'failed' ? 2 : 3, -row.clients];
  const rows = answer.instances.map((row) => ({ row, kept: remember(row, now) }));
  rows.sort((a, b) => weight(a.row)[0] - weight(b.row)[0] || weight(a.row)[1] - weight(b.row)[1] || (a.row.id < b.row.id ? -1 : 1));
  for (const id of [...history.keys()]) if (!answer.instances.some((row) => row.id === id)) { history.delete(id); cards.delete(id); }
  const wanted = find('filter').value.trim().toLowerCase();
  const elements = rows.filter(({ row }) => row.id.includes(wanted)).map(({ row, kept }) => show(row, kept));
  const there = find('instances').children;
  // Only what moved: a button keeps the finger that is on it.
  if (elements.length !== there.length || elements.some((element, at) => there[at] !== element)) find('instances').replaceChildren(...elements);
  showHost(answer.instances, answer.host);
}

async function run() {
  if (!document.hidden) await look();
  setTimeout(run, PAUSE);
}

find('filter').addEventListener('input', look);
run();
