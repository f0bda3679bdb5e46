// The operator's page: what /api/v1/instances says, every two seconds, and what it said before, as lines. All that comes from instances
// (their log first of all) is put in as text, never as markup.
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
const percent = (share) => `${Math.round(share * 100)} %`;
const push = (list, value) => {
  list.push(value);
  if (list.length > KEPT) list.shift();
};

function remember(row, now) {
  const kept = history.get(row.id) ?? { memory: [], cpu: [], clients: [] };
  history.set(row.id, kept);
  const runs = row.state === 'running';
  push(kept.clients, runs ? row.clients : undefined);
  push(kept.memory, runs ? row.usage?.memory : undefined);
  const last = kept.last;
  const share = runs && last?.generation === row.generation && row.usage && last.cpu !== undefined
    ? Math.max(0, (row.usage.cpu_usec - last.cpu) / 10 / (now - last.at)) : undefined;
  push(kept.cpu, share);
  kept.last = { generation: row.generation, cpu: row.usage?.cpu_usec, at: now };
  return kept;
}

function chart(name) {
  const shape = (kind, attributes) => {
    const element = document.createElementNS('http://www.w3.org/2000/svg', kind);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const svg = shape('svg', { viewBox: `0 0 ${KEPT - 1} 31`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  const area = svg.appendChild(shape('path', { class: 'area' }));
  const line = svg.appendChild(shape('path', { class: 'line' }));
  const value = make('span', { textContent: '–' });
  return { element: make('figure', {}, make('figcaption', {}, make('span', { textContent: name }), value), svg), area, line, value };
}

/** Draws `values`, of which `least` is the smallest that fills the height; what is undefined is a gap. */
function draw(chart, values, least) {
  const most = Math.max(least, ...values.filter((value) => value !== undefined));
  const from = KEPT - values.length;
  let [line, area, begun] = ['', '', undefined];
  values.forEach((value, at) => {
    if (value === undefined) { begun = undefined; return; }
    const [x, y] = [from + at, (30 - (value / most) * 28).toFixed(1)];
    line += `${begun === undefined ? 'M' : 'L'}${x} ${y}`;
    area += begun === undefined ? `M${x} 31L${x} ${y}` : `L${x} ${y}`;
    begun ??= x;
    if (values[at + 1] === undefined) area += `L${x} 31Z`;
  });
  chart.line.setAttribute('d', line);
  chart.area.setAttribute('d', area);
}

function card(id) {
  const state = make('span', { className: 'state' });
  const facts = make('p', { className: 'facts' });
  const charts = { memory: chart('RAM'), cpu: chart('CPU'), clients: chart('Clients') };
  const button = (verb, label, ask) => make('button', {
    type: 'button', textContent: label,
    onclick: async (event) => {
      if (ask && !confirm(ask)) return;
      event.target.disabled = true;
      await order(id, verb);
      event.target.disabled = false;
      await look();
    },
  });
  const start = button('start', 'Start');
  const stop = button('stop', 'Stop', `Stop ${id}? What runs in its terminals ends. It stays stopped until somebody starts it.`);
  const restart = button('restart', 'Restart', `Restart ${id}? What runs in its terminals ends.`);
  const logs = make('button', { type: 'button', textContent: 'Logs', ariaExpanded: 'false', onclick: () => toggle(own) });
  const element = make('article', {},
    make('div', { className: 'who' }, make('h2', {}, make('span', { className: 'id', textContent: id, title: id }), state), facts),
    make('div', { className: 'charts' }, ...Object.values(charts).map((one) => one.element)),
    make('div', { className: 'buttons' }, start, restart, stop, logs));
  const own = { id, element, state, facts, charts, start, stop, restart, logs };
  return own;
}

/** Its state as far as somebody has to care: what was stopped on purpose has not failed. */
const kind = (row) => (row.cause?.kind === 'stopped_by_operator' ? 'stopped' : row.state);

function show(row, kept) {
  const own = cards.get(row.id) ?? card(row.id);
  cards.set(row.id, own);
  own.element.className = kind(row);
  own.state.textContent = row.state === 'failed' ? (row.cause?.kind ?? 'failed').replaceAll('_', ' ') : row.frozen ? 'frozen' : row.state;
  const used = row.last_used ? Math.max(0, Math.round((Date.now() - Date.parse(row.last_used)) / 1000)) : undefined;
  own.facts.textContent = [
    row.uptime_seconds !== null && `up ${span(row.uptime_seconds)}`,
    used !== undefined && (used < 5 ? 'in use' : `used ${span(used)} ago`),
    row.class,
    row.usage && `${row.usage.processes} process${row.usage.processes === 1 ? '' : 'es'}`,
    row.disk && `${bytes(row.disk.bytes)}${row.disk.complete ? '' : ' or more'} on disk`,
  ].filter(Boolean).join(' · ') || ' ';
  const latest = (list) => list[list.length - 1];
  const tell = (name, text, least) => {
    own.charts[name].value.textContent = latest(kept[name]) === undefined ? '–' : text(latest(kept[name]));
    draw(own.charts[name], kept[name], least);
  };
  tell('memory', bytes, 64 * 2 ** 20);
  tell('cpu', (share) => `${share.toFixed(0)} %`, 25);
  tell('clients', String, 4);
  const rests = row.state === 'stopped' || row.state === 'failed';
  own.start.hidden = !rests;
  own.stop.hidden = rests;
  own.restart.hidden = rests;
  own.restart.disabled = row.state !== 'running';
  return own.element;
}

// The host: how long work has waited for each of what it needs, and what it has to do.
const host = { cpu: chart('CPU waits'), memory: chart('Memory waits'), io: chart('Disk waits'), load: chart('Load') };
const waits = { cpu: [], memory: [], io: [], load: [] };
find('host').append(...Object.values(host).map((one) => one.element));

function showHost(rows, seen) {
  const count = (state) => rows.filter((row) => kind(row) === state).length;
  const words = [`${count('running')} of ${seen.limit} running`];
  for (const state of ['starting', 'failed', 'stopped']) if (count(state)) words.push(`${count(state)} ${state}`);
  find('count').textContent = words.join(' · ');
  for (const name of ['cpu', 'memory', 'io']) {
    const some = seen.pressure[name];
    host[name].element.hidden = some === undefined;
    if (some === undefined) continue;
    push(waits[name], some);
    const full = seen.stalled[name];
    host[name].value.textContent = full >= 0.005 ? `${percent(some)} (all ${percent(full)})` : percent(some);
    host[name].element.title = 'Of the last ten seconds, how much of the time something had to wait; and how much of it all work had to.';
    host[name].element.className = some >= 0.4 ? 'high' : '';
    draw(host[name], waits[name], 0.25);
  }
  push(waits.load, seen.load[0]);
  host.load.value.textContent = `${seen.load[0].toFixed(2)} on ${seen.processors} CPU${seen.processors === 1 ? '' : 's'}`;
  host.load.element.title = `Over 1, 5 and 15 minutes: ${seen.load.map((load) => load.toFixed(2)).join(', ')}`;
  host.load.element.className = seen.load[0] >= 2 * seen.processors ? 'high' : '';
  draw(host.load, waits.load, seen.processors);
}

function toggle(own) {
  own.logs.ariaExpanded = String(!own.log);
  if (own.log) {
    own.log.element.remove();
    own.log = undefined;
    return;
  }
  const text = make('pre', { tabIndex: 0, ariaLabel: `Log of ${own.id}` });
  const follow = make('input', { type: 'checkbox', checked: true });
  const again = make('button', { type: 'button', textContent: 'Refresh', onclick: () => read(own) });
  own.log = { text, follow, element: make('section', { className: 'log' },
    make('div', {}, make('span', { textContent: 'Last lines' }), make('label', {}, follow, 'Follow'), again), text) };
  own.element.append(own.log.element);
  void read(own);
}

/** Puts the last lines in. What is selected in there, or scrolled back to, stays when nothing has changed. */
async function read(own) {
  const { log } = own;
  let lines;
  try {
    const answer = await ask(`api/v1/instances/${own.id}/logs`);
    lines = answer.error ? answer.error.message : answer.lines.join('\n') || 'It has printed nothing.';
  } catch {
    return;
  }
  if (log.text.textContent === lines) return;
  log.text.textContent = lines;
  if (log.follow.checked) log.text.scrollTop = log.text.scrollHeight;
}

function complain(text) {
  find('trouble').textContent = text;
  find('trouble').hidden = !text;
}

/** The answer's JSON. Whoever is not signed in any more is led to where that can be done. */
async function ask(path, options) {
  const answer = await fetch(path, options);
  if (answer.status === 401) {
    location.reload();
    return new Promise(() => {});
  }
  return answer.json();
}

async function order(id, verb) {
  try {
    const answer = await ask(`api/v1/instances/${id}/${verb}`, { method: 'POST' });
    complain(answer.error ? `${id}: ${answer.error.message}` : '');
  } catch {
    complain('The service does not answer.');
  }
}

async function look() {
  let answer;
  try {
    answer = await ask('api/v1/instances');
    if (answer.error) return complain(answer.error.message);
    if (find('trouble').textContent.startsWith('The service')) complain('');
  } catch {
    return complain('The service does not answer.');
  }
  const now = Date.now();
  const states = ['running', 'starting', 'stopping', 'failed', 'stopped'];
  const weight = (row) => [states.indexOf(kind(row)), -row.clients];
  const rows = answer.instances.map((row) => ({ row, kept: remember(row, now) }));
  rows.sort((a, b) => weight(a.row)[0] - weight(b.row)[0] || weight(a.row)[1] - weight(b.row)[1] || (a.row.id < b.row.id ? -1 : 1));
  for (const id of [...history.keys()]) if (!answer.instances.some((row) => row.id === id)) { history.delete(id); cards.delete(id); }
  const wanted = find('filter').value.trim().toLowerCase();
  const elements = rows.filter(({ row }) => row.id.includes(wanted)).map(({ row, kept }) => show(row, kept));
  const there = find('instances').children;
  // Only what moved: a button keeps the finger that is on it.
  if (elements.length !== there.length || elements.some((element, at) => there[at] !== element)) find('instances').replaceChildren(...elements);
  showHost(answer.instances, answer.host);
  await Promise.all([...cards.values()].filter((own) => own.log?.follow.checked && own.element.isConnected).map(read));
}

async function run() {
  if (!document.hidden) await look();
  setTimeout(run, PAUSE);
}

find('filter').addEventListener('input', look);
run();
