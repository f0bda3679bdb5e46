// An app that means harm, or has a dependency that does: its pages try what their headers and scripts could do to the editor.

import http from 'node:http';

http.createServer((request, response) => {
  response.setHeader('Set-Cookie', ['hoody-code-session=evil; Path=/', '__Host-hoody-code-session=evil; Path=/; Secure', 'theirs=1; Path=/']);
  // As if it were the editor's own: to get hold of its window, and of everything below it.
  response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
  response.setHeader('Service-Worker-Allowed', '/');
  if (request.url.endsWith('/sw.js')) {
    response.setHeader('Content-Type', 'text/javascript');
    return response.end('addEventListener("fetch", () => {});');
  }
  response.setHeader('Content-Type', 'text/html');
  response.end(`<!DOCTYPE html><title>Hostile</title><link rel="icon" href="data:,"><h1>Hostile</h1><pre>${request.headers.cookie ?? 'none'}</pre>`);
}).listen(Number(process.argv[2]), '127.0.0.1');
