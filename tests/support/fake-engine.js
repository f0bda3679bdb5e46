// Stands in for VS Code's server where a test needs one that misbehaves on demand. It knows just enough: the options it is
// started with, a page with a configuration, a few resources, an upgrade that echoes bytes.
const http = require("node:http");
const fs = require("node:fs");
const path = require("node:path");
const crypto = require("node:crypto");
const { spawn } = require("node:child_process");

const option = (name) => process.argv[process.argv.indexOf(name) + 1];
const behaviourFile = path.join(__dirname, "../../../../behaviour");
const behaviour = fs.existsSync(behaviourFile) ? fs.readFileSync(behaviourFile, "utf8").trim() : "";
const base = "/stable-c0ffee";

// The command line for extensions: a VSIX is "PK\x03\x04" and the extension's id; what a gallery does not have begins with "no.".
const [verb, what] = ["--install-extension", "--uninstall-extension"].map((name) => [name, option(name)]).find(([name]) => process.argv.includes(name)) ?? [];
if (verb) {
  const dir = option("--extensions-dir");
  const list = path.join(dir, "extensions.json");
  const known = JSON.parse(fs.readFileSync(list, "utf8"));
  const file = what.endsWith(".vsix");
  const [id, version = "2.0.0"] = (file ? fs.readFileSync(what, "latin1").slice(4) : what).split("@");
  console.log("Installing extensions...");
  if (id.startsWith("no.")) {
    console.error(`Extension '${id}' not found.`);
    process.exit(1);
  }
  if (id === "gallery.down") {
    console.error("Error while installing extensions: connect ECONNREFUSED");
    process.exit(1);
  }
  if (id === "gallery.slow") {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  }
  const others = known.filter((one) => one.identifier.id !== id);
  if (verb === "--install-extension") {
    const [publisher, name] = id.split(".");
    const relativeLocation = `${id}-${version}`;
    fs.mkdirSync(path.join(dir, relativeLocation), { recursive: true });
    fs.writeFileSync(path.join(dir, relativeLocation, "package.json"), JSON.stringify({ publisher, name, version }));
    others.push({ identifier: { id }, version, relativeLocation, metadata: { source: file ? "vsix" : "gallery", installedTimestamp: Date.now() } });
  }
  fs.writeFileSync(list, JSON.stringify(others));
  process.exit(0);
}

if (behaviour === "die") {
  console.log("first line");
  console.error("second line");
  console.log("I cannot go on");
  process.exit(3);
}
if (behaviour === "hang") {
  console.log("not listening");
  setInterval(() => {}, 1000);
}
if (behaviour === "detach") {
  // A job that cuts every tie but its environment, and does not want to end.
  spawn("sh", ["-c", "trap '' TERM HUP; sleep 1000 & wait; sleep 1000"], { detached: true, stdio: "ignore" }).unref();
}

if (behaviour === "daemon") {
  // What nginx and redis do: two forks, a session of its own, and the title written over the environment. (50) and (51) of
  // proc_pid_stat(5) are where that is.
  const served = () => {
    const fs = require("node:fs");
    const stat = fs.readFileSync("/proc/self/stat", "latin1");
    const [start, end] = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(47, 49).map(Number);
    const file = process.env.FAKE_DAEMON;
    fs.writeSync(fs.openSync("/proc/self/mem", "r+"), Buffer.alloc(end - start), 0, end - start, start);
    const server = require("node:http").createServer((request, response) => response.end("daemon"));
    server.listen(0, "127.0.0.1", () => fs.writeFileSync(file, `${process.pid} ${server.address().port}`));
  };
  const code = `(${served})()`;
  const forked = `require("node:child_process").spawn(process.execPath, ["-e", ${JSON.stringify(code)}], { detached: true, stdio: "ignore" }).unref()`;
  const env = { ...process.env, FAKE_DAEMON: path.join(option("--user-data-dir"), "daemon") };
  spawn(process.execPath, ["-e", forked], { detached: true, stdio: "ignore", env }).unref();
}

const page = `<!DOCTYPE html><html><head><meta id="vscode-workbench-web-configuration" data-settings="{&quot;remoteAuthority&quot;:&quot;remote&quot;}"></head><body></body></html>`;

const app = require("./fake-app.js");

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://engine");
  const route = url.pathname.replace(base, "");
  if (request.method !== "GET") {
    response.writeHead(405).end();
  } else if (route === "/") {
    response.setHeader("Content-Security-Policy", "script-src 'self' 'nonce-engine-nonce'");
    response.setHeader("Content-Type", "text/html");
    response.end(page);
  } else if (route === "/headers") {
    response.end(JSON.stringify({ url: request.url, raw: request.rawHeaders }));
  } else if (route === "/repeated") {
    response.writeHead(200, [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["Connection", "X-Hop"], ["X-Hop", "1"], ["X-Kept", "1"]].flat());
    response.end("ok");
  } else if (route === "/body") {
    let size = 0;
    request.on("data", (piece) => (size += piece.length));
    request.on("end", () => response.end(String(size)));
    request.on("error", () => {});
  } else if (route === "/big") {
    // As much as is asked for, only as fast as it is taken.
    let left = Number(url.searchParams.get("bytes"));
    const piece = Buffer.alloc(65536, "x");
    const more = () => {
      while (left > 0) {
        const part = left >= piece.length ? piece : piece.subarray(0, left);
        left -= part.length;
        if (!response.write(part)) return response.once("drain", more);
      }
      response.end();
    };
    more();
  } else if (route === "/drip") {
    response.write("one ");
    response.on("close", () => fs.writeFileSync(path.join(option("--user-data-dir"), "closed"), "yes"));
  } else if (route === "/listen" || route === "/close") {
    // What a user would do in a terminal.
    const options = Object.fromEntries(url.searchParams);
    if (options.port) options.port = Number(options.port);
    const done = route === "/listen" ? app.listen(options) : app.close(options.port);
    done.then((result) => response.end(String(result)), (error) => response.writeHead(500).end(String(error)));
  } else if (route === "/die") {
    response.write("half");
    setImmediate(() => process.exit(7));
  } else {
    response.writeHead(404).end("Not found.");
  }
});

// Takes a connection over as the real one does, and notes the goodbye with it. The beginning of a token says what it stands for.
function takeOver(token, socket) {
  const say = (word) => {
    const text = Buffer.from(JSON.stringify(word));
    const header = Buffer.alloc(13);
    header[0] = 2;
    header.writeUInt32BE(text.length, 9);
    socket.write(Buffer.concat([header, text]));
  };
  let [heard, kind] = [Buffer.alloc(0), 0];
  socket.on("data", (piece) => {
    heard = Buffer.concat([heard, piece]);
    while (heard.length >= 13 && heard.length >= 13 + heard.readUInt32BE(9)) {
      const end = 13 + heard.readUInt32BE(9);
      const [type, text] = [heard[0], heard.subarray(13, end).toString()];
      heard = heard.subarray(end);
      if (type === 5) {
        fs.appendFileSync(path.join(option("--user-data-dir"), "goodbyes"), `${token}\n`);
        socket.end();
        return;
      }
      const word = JSON.parse(text);
      if (word.type === "connectionType") kind = word.desiredConnectionType;
      const known = token.startsWith(["", "management-", "exthost-"][kind]);
      say(kind === 0 ? { type: "sign", data: "", signedData: "" } : known ? { type: "ok" } : { type: "error", reason: "Unknown reconnection token (seen before)" });
    }
  });
}

server.on("upgrade", (request, socket) => {
  if (request.url.includes("refuse")) {
    socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\nX-Why: test\r\nConnection: close\r\n\r\nno entry");
    return;
  }
  const accept = crypto.createHash("sha1").update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-One: 1\r\nX-One: 2\r\n\r\n`);
  socket.on("error", () => {});
  const query = new URL(request.url, "http://engine").searchParams;
  if (query.get("skipWebSocketFrames") === "true") takeOver(query.get("reconnectionToken"), socket);
  else if (request.url.includes("hangup")) socket.end("bye");
  else socket.pipe(socket);
});

if (behaviour !== "hang") {
  setTimeout(() => server.listen(option("--socket-path")), behaviour === "slow" ? 1000 : 0);
}
