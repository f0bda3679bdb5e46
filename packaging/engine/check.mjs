// Says whether a freshly built engine works: its native modules load and do something, ripgrep runs, the server answers.
// Usage, with the engine's own node: node check.mjs LIB_VSCODE. Exits 1 with the reason. build.sh calls it.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const vscode = path.resolve(process.argv[2]);
const load = createRequire(path.join(vscode, 'package.json'));
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'engine-check-'));
const STEP_MS = 30_000;

const withDeadline = (what, promise) => {
	let timer;
	const late = new Promise((_, no) => {
		timer = setTimeout(() => no(new Error(`${what}: nothing within ${STEP_MS / 1000} s`)), STEP_MS);
	});
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

const checks = {
	'node-pty makes a terminal': () =>
		new Promise((yes, no) => {
			let seen = '';
			const pty = load('node-pty').spawn('/bin/sh', ['-c', 'test -t 0 && echo it-is-a-terminal'], { cwd: scratch });
			pty.onData(data => (seen += data));
			pty.onExit(() => (seen.includes('it-is-a-terminal') ? yes() : no(new Error(`got ${JSON.stringify(seen)}`))));
		}),
	'sqlite3 answers a query': () =>
		new Promise((yes, no) => {
			const { Database } = load('@vscode/sqlite3').default ?? load('@vscode/sqlite3');
			const db = new Database(':memory:', opened => {
				if (opened) return no(opened);
				db.get('select 6 * 7 as n', (err, row) => (err || row.n !== 42 ? no(err ?? new Error('wrong answer')) : db.close(yes)));
			});
		}),
	'watcher sees a new file': async () => {
		const watcher = load('@parcel/watcher');
		const dir = fs.mkdtempSync(path.join(scratch, 'watched-'));
		let seen;
		const event = new Promise((yes, no) => (seen = (err, events) => (err ? no(err) : events.length && yes())));
		const subscription = await watcher.subscribe(dir, seen);
		fs.writeFileSync(path.join(dir, 'new'), '');
		await event;
		await subscription.unsubscribe();
	},
	'spdlog writes a line': async () => {
		const spdlog = load('@vscode/spdlog');
		const file = path.join(scratch, 'spdlog.log');
		const logger = await spdlog.createRotatingLogger('check', file, 1 << 20, 1);
		logger.critical('a line');
		logger.flush();
		if (!fs.readFileSync(file, 'utf8').includes('a line')) throw new Error('the file is empty');
		logger.drop();
	},
	'native-watchdog loads': () => void load('@vscode/native-watchdog'),
	'kerberos loads': () => void load('kerberos'),
	'deviceid, fs-copyfile and copilot-sdk load': async () => {
		for (const name of ['@vscode/deviceid', '@vscode/fs-copyfile', '@github/copilot-sdk']) {
			await import(pathToFileURL(load.resolve(name)));
		}
	},
	'ripgrep runs': async () => {
		const { rgPath } = await import(pathToFileURL(load.resolve('@vscode/ripgrep-universal')));
		const run = spawnSync(rgPath, ['--version'], { encoding: 'utf8' });
		if (run.status !== 0 || !run.stdout.startsWith('ripgrep')) throw new Error(run.error?.message ?? run.stderr);
	},
	'typescript is complete': () => {
		const lib = path.join(vscode, 'extensions/node_modules/typescript/lib');
		for (const name of ['tsserver.js', 'typescript.js']) fs.accessSync(path.join(lib, name));
	},
	'the server answers': () => serverAnswers(),
};

async function serverAnswers() {
	const socketPath = path.join(scratch, 's');
	const child = spawn(
		process.execPath,
		[
			path.join(vscode, 'out/server-main.js'), '--socket-path', socketPath, '--without-connection-token', '--accept-server-license-terms',
			'--server-data-dir', path.join(scratch, 'server'), '--telemetry-level', 'off', '--disable-telemetry', '--disable-update-check',
			'--auth', 'password',
		],
		{
			env: { HOME: scratch, PATH: '/usr/bin:/bin', LANG: 'C.UTF-8', NODE_EXEC_PATH: process.execPath },
			cwd: scratch, detached: true, stdio: ['ignore', 'pipe', 'pipe'],
		},
	);
	let output = '', gone = false;
	child.stdout.on('data', data => (output += data));
	child.stderr.on('data', data => (output += data));
	child.on('exit', () => (gone = true));
	try {
		for (const end = Date.now() + STEP_MS; ;) {
			if (gone) throw new Error(`it exited: ${output.slice(-2000)}`);
			try {
				const { status, body } = await get(socketPath, '/');
				if (status !== 200 || !body.includes('vscode-workbench-web-configuration')) throw new Error(`it answered ${status}`);
				return;
			} catch (err) {
				if (!['ENOENT', 'ECONNREFUSED'].includes(err.code) || Date.now() > end) throw new Error(`${err.message}: ${output.slice(-2000)}`);
			}
			await new Promise(yes => setTimeout(yes, 50));
		}
	} finally {
		if (!gone) {
			const exited = new Promise(yes => child.on('exit', yes));
			process.kill(-child.pid, 'SIGKILL');
			await exited;
		}
	}
}

const get = (socketPath, target) =>
	new Promise((yes, no) => {
		http.get({ socketPath, path: target, timeout: STEP_MS }, res => {
			let body = '';
			res.setEncoding('utf8').on('data', data => (body += data)).on('end', () => yes({ status: res.statusCode, body })).on('error', no);
		}).on('error', no);
	});

let failed = 0;
for (const [what, run] of Object.entries(checks)) {
	try {
		await withDeadline(what, (async () => run())());
		console.log(`ok: ${what}`);
	} catch (err) {
		failed = 1;
		console.log(`FAILED: ${what}: ${err?.stack ?? err}`);
	}
}
fs.rmSync(scratch, { recursive: true, force: true });
process.exit(failed);
