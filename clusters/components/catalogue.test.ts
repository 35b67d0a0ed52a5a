import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { catalogueNames, explainUnknownImage, proxyTag, resolveImage, type Shelf } from "./catalogue.ts";

const component = (name: string, version: string) => ({
  name,
  version,
  source: "a test",
  digest: `sha256:${name}`,
  bytes: 0,
  builtAt: "2026-01-01T00:00:00Z",
  details: {},
  programs: [],
  dir: `/cache/${name}`,
});

const shelf: Shelf = {
  bin: (name) => `/cache/bin/${name}`,
  istioBootstrap: "/cache/istio/envoy_bootstrap.json",
  node: "/cache/bin/node",
  components: [
    component("debian", "12"),
    component("istio", "1.31.0"),
    component("envoy", "1.40.0"),
    component("go-httpbin", "2.26.0"),
    component("node", "24.0.0"),
  ],
};

const nameOf = (image: string) => resolveImage(image, shelf)?.name;

test("the tag of an image of Istio chooses among several versions", () => {
  const several = (name: string, version: string, program: string) => ({
    ...component(name, version),
    digest: `sha256:${name}-${version}`,
    programs: [program],
    dir: `/cache/${name}-${version}`,
  });
  const upgrade: Shelf = {
    ...shelf,
    components: [
      component("debian", "12"),
      several("envoy", "1.36.4", "envoy"),
      several("envoy", "1.40.0", "envoy"),
      several("istio", "1.30-20260826", "pilot-agent"),
      several("istio", "1.31.0", "pilot-agent"),
    ],
  };
  const sources = (image: string) => resolveImage(image, upgrade)?.binds.map(({ source }) => source);
  const newer = { istio: "1.31.0", envoy: "1.40.0" };
  assert.deepEqual(sources(`docker.io/istio/proxyv2:${proxyTag(newer)}`), [
    "/cache/istio-1.31.0/bin/pilot-agent",
    "/cache/envoy-1.40.0/bin/envoy",
    "/cache/istio-1.31.0/envoy_bootstrap.json",
  ]);
  const older = { istio: "1.30-20260826", envoy: "1.36.4" };
  const first = [
    "/cache/istio-1.30-20260826/bin/pilot-agent",
    "/cache/envoy-1.36.4/bin/envoy",
    "/cache/istio-1.30-20260826/envoy_bootstrap.json",
  ];
  assert.deepEqual(sources(`docker.io/istio/proxyv2:${proxyTag(older)}`), first);
  assert.deepEqual(sources("proxy.example:5000/istio/proxyv2:other"), first);
  const digests = [older, newer].map((mesh) => resolveImage(`istio/proxyv2:${proxyTag(mesh)}`, upgrade)?.digest);
  assert.notEqual(digests[0], digests[1]);
});

test("the tag of a released Istio alone means the Envoy that came with it", () => {
  const release = { version: "1.29.2", dir: "/cache/istio-1.29.2", details: {} };
  const released: Shelf = {
    ...shelf,
    components: [
      // As Istio's own says that it is another one's version: it is what the folder says that counts.
      { ...component("envoy", "1.40.0"), ...release, version: "1.40.0", programs: ["envoy"] },
      { ...component("envoy", "1.40.0"), dir: "/cache/envoy-1.40.0", programs: ["envoy"] },
      { ...component("istio", "1.29.2"), ...release, programs: ["pilot-agent"] },
      { ...component("istio", "1.31.0"), dir: "/cache/istio-1.31.0", programs: ["pilot-agent"] },
      component("debian", "12"),
    ],
  };
  const sources = (mesh: { istio: string; envoy: string | undefined }, on = released) =>
    resolveImage(`docker.io/istio/proxyv2:${proxyTag(mesh)}`, on)?.binds.map(({ source }) => source);
  const other = { ...released, components: released.components.toReversed() };
  const own = ["/cache/istio-1.29.2/bin/pilot-agent", "/cache/istio-1.29.2/bin/envoy"];
  for (const on of [released, other])
    assert.deepEqual(sources({ istio: "1.29.2", envoy: undefined }, on)?.slice(0, 2), own);
  assert.deepEqual(sources({ istio: "1.29.2", envoy: "1.40.0" })?.slice(0, 2), [
    own[0],
    "/cache/envoy-1.40.0/bin/envoy",
  ]);
  assert.deepEqual(sources({ istio: "1.31.0", envoy: "1.40.0" })?.slice(0, 2), [
    "/cache/istio-1.31.0/bin/pilot-agent",
    "/cache/envoy-1.40.0/bin/envoy",
  ]);
  assert.equal(proxyTag({ istio: "1.29.2", envoy: undefined }), "1.29.2");
});

test("registry, hub, tag and digest do not matter", () => {
  assert.equal(nameOf("docker.io/istio/pilot:1.31.0"), "pilot");
  assert.equal(nameOf("registry.example:5000/mirror/istio/proxyv2:1.31.0-distroless"), "proxyv2");
  assert.equal(nameOf("istio/proxyv2@sha256:0123"), "proxyv2");
  assert.equal(nameOf("mccutchen/go-httpbin"), "mccutchen/go-httpbin");
  assert.equal(nameOf("registry.example:5000/curlimages/curl:8.16.0@sha256:0123"), "curlimages/curl");
  assert.equal(nameOf("istio/examples-bookinfo-reviews-v3:1.20.3"), "examples-bookinfo-reviews-v3");
});

test("Docker's short names are those of its library", () => {
  for (const image of ["nginx", "nginx:1.28", "docker.io/nginx", "library/nginx", "docker.io/library/nginx:1.28.0"])
    assert.equal(nameOf(image), "library/nginx", image);
});

test("what only looks like an image of the catalogue is unknown", () => {
  for (const image of [
    "pilot",
    "proxyv2",
    "auto",
    "",
    "example/curl",
    "example/nginx",
    "library/curl",
    "toString",
    "a/constructor",
  ])
    assert.equal(nameOf(image), undefined, image);
  const message = explainUnknownImage("example/nginx:1");
  for (const name of ["example/nginx:1", ...catalogueNames()]) assert.ok(message.includes(name), name);
});

test("proxyv2 has what pilot-agent looks for, where it looks", () => {
  const image = resolveImage("docker.io/istio/proxyv2:1.31.0", shelf);
  assert.deepEqual(image?.entrypoint, ["/usr/local/bin/pilot-agent"]);
  assert.deepEqual(image?.binds, [
    { target: "/usr/local/bin/pilot-agent", source: "/cache/bin/pilot-agent" },
    { target: "/usr/local/bin/envoy", source: "/cache/bin/envoy" },
    { target: "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json", source: "/cache/istio/envoy_bootstrap.json" },
  ]);
  assert.equal(image?.env["ISTIO_META_ISTIO_PROXY_SHA"], "envoy:1.40.0");
  assert.equal(image?.workingDir, "/");
});

test("an image's digest follows its components", () => {
  const digest = (image: string, from: Shelf = shelf) => resolveImage(image, from)?.digest;
  assert.match(digest("nginx") ?? "", /^sha256:[0-9a-f]{64}$/);
  assert.notEqual(digest("nginx"), digest("curlimages/curl"));
  const newer = { ...shelf, components: shelf.components.map((old) => ({ ...old, digest: `${old.digest}2` })) };
  assert.notEqual(digest("nginx"), digest("nginx", newer));
});

test("Bookinfo's services are programs of this repository", () => {
  for (const name of catalogueNames().filter((candidate) => candidate.includes("bookinfo"))) {
    const image = resolveImage(`docker.io/istio/${name}:1.20.3`, shelf);
    assert.deepEqual(image?.cmd.slice(2), name.replace("examples-bookinfo-", "").split("-"));
    const source = image?.binds.find(({ target }) => target === "/opt/bookinfo")?.source ?? "";
    assert.ok(existsSync(join(source, "main.ts")), source);
  }
});
