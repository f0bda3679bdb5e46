// An app that a user might run on a port of an instance, for the tests of the port proxy. It does what it is asked for.
const http = require("node:http");
const net = require("node:net");
const crypto = require("node:crypto");

const streams = new Set();

function answer(request, response) {
  const url = new URL(request.url, "http://app");
  const query = url.searchParams;
  const route = url.pathname.split("/").pop();
  if (route === "answer") {
    // ?status=302&header=Location:+/x&header=…&body=…
    const headers = query.getAll("header").flatMap((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
    response.writeHead(Number(query.get("status") ?? 200), headers);
    response.end(query.get("body") ?? "");
  } else if (route === "count") {
    let size = 0;
    request.on("data", (piece) => (size += piece.length));
    request.on("end", () => response.end(JSON.stringify({ size, trailers: request.trailers, framing: [request.headers["content-length"], request.headers["transfer-encoding"]] })));
    request.on("error", () => {});
  } else if (route === "big") {
    let left = Number(query.get("bytes"));
    const piece = Buffer.alloc(1 << 18, "x");
    if (query.has("length")) response.setHeader("Content-Length", left);
    const more = () => {
      while (left > 0) {
        const part = left >= piece.length ? piece : piece.subarray(0, left);
        left -= part.length;
        if (!response.write(part)) return response.once("drain", more);
      }
      response.end();
    };
    more();
  } else if (route === "events") {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write("data: first\n\n");
    streams.add(response);
    response.on("close", () => streams.delete(response));
  } else if (route === "tell") {
    for (const stream of streams) stream.write(`data: ${query.get("what")}\n\n`);
    response.end(String(streams.size));
  } else if (route === "trailers") {
    response.writeHead(200, { Trailer: "X-Sum", "Transfer-Encoding": "chunked" });
    response.write("body");
    response.addTrailers({ "X-Sum": "42" });
    response.end();
  } else if (route === "half") {
    response.writeHead(200, { "Content-Length": 1000 });
    response.write("half", () => setImmediate(() => request.socket.destroy()));
  } else if (route === "none") {
    request.socket.destroy();
  } else {
    response.setHeader("X-App", "yes");
    response.end(JSON.stringify({ method: request.method, url: request.url, raw: request.rawHeaders }));
  }
}

function web() {
  const server = http.createServer(answer);
  server.on("checkContinue", (request, response) => {
    if (request.url.includes("refuse")) return response.writeHead(413, { Connection: "close" }).end("too large for me");
    response.writeContinue();
    answer(request, response);
  });
  server.on("upgrade", (request, socket) => {
    socket.on("error", () => {});
    if (request.url.includes("refuse")) {
      return socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\nX-Why: test\r\nConnection: close\r\n\r\nno entry");
    }
    const accept = crypto.createHash("sha1").update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
    const cookie = request.headers.cookie ?? "none";
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nX-Cookie: ${cookie}\r\nSet-Cookie: hoody-code-session=evil\r\n\r\n`);
    socket.pipe(socket);
  });
  return server;
}

/** Says the very same bytes to whoever connects, whatever is asked. */
function parrot(bytes) {
  return net.createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(bytes));
  });
}

const servers = new Map();

/** Listens, and gives the port. `bytes` (hexadecimal) makes a parrot. */
exports.listen = ({ address = "127.0.0.1", port = 0, bytes }) =>
  new Promise((resolve, reject) => {
    const server = bytes === undefined ? web() : parrot(Buffer.from(bytes, "hex"));
    server.once("error", reject);
    server.listen({ host: address, port, ipv6Only: address === "::" ? false : undefined }, () => {
      servers.set(server.address().port, server);
      resolve(server.address().port);
    });
  });

/** Stops listening, and drops whoever is connected. */
exports.close = (port) =>
  new Promise((resolve) => {
    const server = servers.get(port);
    server.closeAllConnections?.();
    server.close(() => resolve("closed"));
  });
