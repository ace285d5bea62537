// Keeps the page for use without a network, and isolates it, so that it may use threads on hosts without `_headers`.
// Its address has the version of the page: a new version is a new worker.

const version = new URL(self.location).searchParams.get("v");
const scope = self.registration.scope;
const ours = `zoo ${scope} `; // caches belong to the whole origin, which may have other pages
const name = `${ours}${version}`;
const within = (address) => new URL(address).pathname.slice(new URL(scope).pathname.length);
// Names of these files contain their hash or version, so they never change.
const isFixed = (address) => /^(vendor\/onnxruntime-web-[^/]+\/[^/]+|models\/[^/]+-[0-9a-f]{10}\.(json|onnx))$/.test(within(address));
// Other pages below the folder, as at the root of a host, are left as they are: the headers could break them.
const OWN = new Set(["", "index.html", "style.css", "manifest.webmanifest", "icon-192.png", "icon-512.png", "site.json", "files.json"]);
for (const module of "app camera card classifier drawing given heat loading offline output pad pixels runtime shown synthetic texts verify view".split(" ")) {
  OWN.add(`${module}.js`);
}
const isOurs = (address) => address.startsWith(scope) && (OWN.has(within(address)) || isFixed(address));

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(removeOld()));
self.addEventListener("message", (event) => event.waitUntil(keep(event.data.keep).catch(() => {})));
self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && isOurs(url)) event.respondWith(answer(event));
});

async function install() {
  const { own, kept, models } = await (await fetch(`${scope}files.json`, { cache: "no-cache" })).json();
  const cache = await caches.open(name);
  await cache.addAll(["./", "files.json", ...own].map((file) => new Request(`${scope}${file}`, { cache: "no-cache" })));
  await keep(kept);
  await keep(models, false).catch(() => {}); // that the visitor used in the version before; the storage may be full
  await self.skipWaiting();
}

/** Keeps files that never change. */
async function keep(files, fetched = true) {
  const cache = await caches.open(name);
  for (const address of files.map((file) => `${scope}${file}`).filter(isFixed)) {
    if (await cache.match(address)) continue;
    const known = await caches.match(address);
    // The browser has most likely just loaded it.
    if (known || fetched) await (known ? cache.put(address, known) : cache.add(new Request(address, { cache: "force-cache" })));
  }
}

async function removeOld() {
  for (const each of await caches.keys()) if (each.startsWith(ours) && each !== name) await caches.delete(each);
}

async function answer(event) {
  const { request } = event;
  const cache = await caches.open(name);
  if (isFixed(request.url)) {
    const known = await cache.match(request);
    if (known) return isolated(known);
    const found = await fetch(request);
    if (found.ok) event.waitUntil(cache.put(request, found.clone()).catch(() => {})); // the storage may be full
    return isolated(found);
  }
  try {
    return isolated(await fetch(request, { cache: "no-cache" }));
  } catch (error) {
    const known = await cache.match(request, { ignoreSearch: true });
    if (known) return isolated(known);
    throw error;
  }
}

function isolated(response) {
  if (response.type !== "basic" && response.type !== "default") return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "cross-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
