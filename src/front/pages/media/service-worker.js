// Makes the editor installable. It caches nothing: assets are immutable and the browser's own cache keeps them.
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", () => {});
