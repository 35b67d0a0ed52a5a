import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { absence } from "./docker.ts";
import { chooseMesh } from "../components/components.ts";
import { imagesIn, kindImages, workloadImages } from "./images.ts";
import { kubeconfigOf } from "./kind.ts";
import { isBuiltHere } from "../components/list.ts";
import { istioctlInDocker } from "./generator.ts";
import { meshImages, ownMesh, publishedMesh, whyNotPublished } from "./meshes.ts";
import { cniManifest, kubeadmConfig } from "./kubeadm.ts";
import { startOf } from "../process.ts";
import { host, isOrphan, LABEL, ownerLabels, type Surroundings } from "./labels.ts";
import { namesOf, unreachable } from "./source.ts";

test("kubeadm gets a pinned version, loopback names in its certificate, and the node's address", () => {
  const text = kubeadmConfig({ cluster: "c", kubernetes: "v1.36.4", address: "172.17.0.2" });
  const documents = parseAllDocuments(text).map((document) => document.toJS() as Record<string, never>);
  assert.deepEqual(
    documents.map(({ kind }) => kind),
    ["ClusterConfiguration", "InitConfiguration", "KubeletConfiguration", "KubeProxyConfiguration"],
  );
  const [cluster, init] = documents;
  assert.equal(cluster?.["kubernetesVersion"], "v1.36.4");
  assert.equal(cluster?.["controlPlaneEndpoint"], "172.17.0.2:6443");
  assert.deepEqual(cluster?.["apiServer"], { certSANs: ["localhost", "127.0.0.1", "172.17.0.2"] });
  assert.deepEqual(init?.["localAPIEndpoint"], { advertiseAddress: "172.17.0.2", bindPort: 6443 });
});

test("the CNI manifest of a node image is a template with the pods' range", () => {
  assert.equal(cniManifest('value: "{{ .PodSubnet }}"'), 'value: "10.244.0.0/16"');
  assert.equal(cniManifest("kind: ConfigMap"), "kind: ConfigMap");
});

test("the kubeconfig has one context, at the loopback address, and verifies", () => {
  const admin = `
clusters: [{ name: c, cluster: { server: "https://172.17.0.2:6443", certificate-authority-data: Q0E= } }]
users: [{ name: admin, user: { client-certificate-data: Q0VSVA==, client-key-data: S0VZ } }]`;
  const config = JSON.parse(kubeconfigOf(admin, "meshproof-kind-c", 40000)) as Record<string, never>;
  assert.deepEqual(config["contexts"], [
    { name: "meshproof-kind-c", context: { cluster: "meshproof-kind-c", user: "meshproof-kind-c" } },
  ]);
  assert.deepEqual(config["clusters"], [
    {
      name: "meshproof-kind-c",
      cluster: { server: "https://127.0.0.1:40000", "certificate-authority-data": "Q0E=" },
    },
  ]);
});

test("a manifest's images are found at every place", () => {
  const manifest = "containers:\n  - image: a:1\n  - name: b\n    image: 'r.example/b:2' # why\n";
  assert.deepEqual(imagesIn(manifest), ["docker.io/library/a:1", "r.example/b:2"]);
});

test("the list of images has the node, the mesh and every workload, once", async () => {
  const images = await kindImages();
  assert.deepEqual(
    images.map(({ name }) => name),
    [images[0]?.name, ...meshImages(publishedMesh({})), ...(await workloadImages())],
  );
  assert.match(images[0]?.reference ?? "", /^docker\.io\/kindest\/node:v1\.36\.4@sha256:[0-9a-f]{64}$/);
  assert.equal(new Set(images.map(({ name }) => name)).size, images.length);
});

test("two meshes' images are in the list, and an unpublished mesh is refused before anything is pulled", async () => {
  const meshes = [{ istio: "1.29.2" }, { istio: "1.31" }].map(publishedMesh);
  const mesh = (await kindImages({}, meshes)).filter(({ role }) => role === "mesh");
  assert.deepEqual(
    mesh.map(({ name }) => name),
    ["pilot:1.29.2", "proxyv2:1.29.2", "pilot:1.31.0", "proxyv2:1.31.0"].map((name) => `docker.io/istio/${name}`),
  );
  assert.match(whyNotPublished({ istio: "1.30" }) ?? "", /Istio 1\.30-\d+ is not a release/);
  assert.match(whyNotPublished({ istio: "1.31", envoy: "1.36" }) ?? "", /have the Envoy of their Istio/);
  assert.equal(whyNotPublished({}), undefined);
  assert.throws(() => publishedMesh({ istio: "1.30" }), { code: "ERR_USAGE", hint: /--images offline/ });
  assert.deepEqual(
    [{ istio: "1.30" }, {}, { istio: "1.29.2" }].map((wanted) => isBuiltHere(chooseMesh(wanted).istio)),
    [true, true, false],
  );
});

test("images that are built here differ by Istio's version and Envoy's", () => {
  const versions = { istio: "1.31.0", envoy: "1.36.4" };
  const mesh = ownMesh({ choice: versions, versions, upstreamEnvoy: true });
  assert.deepEqual(meshImages(mesh), ["docker.io/istio/pilot:1.31.0", "docker.io/istio/proxyv2:1.31.0-envoy-1.36.4"]);
});

test("a mirror replaces the registry, a digest pins", async () => {
  const digest = `sha256:${"0".repeat(64)}`;
  const digests = { "library/nginx:1.28.0": digest, "docker.io/curlimages/curl:8.16.0": digest };
  const images = await kindImages({ kubernetes: `1.30.0@${digest}`, mirror: "m.example", digests });
  assert.equal(images[0]?.reference, `m.example/kindest/node:v1.30.0@${digest}`);
  assert.equal(
    images.find(({ name }) => name.includes("/curl:"))?.reference,
    `m.example/curlimages/curl:8.16.0@${digest}`,
  );
});

const dead = { [LABEL.cluster]: "c", [LABEL.host]: "here", [LABEL.pid]: "7", [LABEL.started]: "boot 100" };
const around = (more: Partial<Surroundings>): Surroundings => ({
  host: "here",
  startOf: () => undefined,
  exists: () => false,
  ...more,
});

test("the remains of a process that has ended are swept", () => {
  assert.equal(isOrphan(dead, around({})), true);
  assert.equal(isOrphan(dead, around({ startOf: () => "boot 100" })), false, "its owner lives");
  assert.equal(isOrphan(dead, around({ startOf: () => "boot 999" })), true, "another process has the number");
});

test("a kept cluster stays once it is complete", () => {
  const kept = { ...dead, [LABEL.kept]: "/x/cluster.json" };
  assert.equal(isOrphan(kept, around({ exists: (file) => file === "/x/cluster.json" })), false);
  assert.equal(isOrphan(kept, around({})), true, "its start was cut short");
});

test("objects of others, or of another machine, are not removed", () => {
  assert.equal(isOrphan({}, around({})), false);
  assert.equal(isOrphan({ ...dead, [LABEL.host]: "there" }, around({})), false);
});

test("this process's own objects are not orphans", () => {
  const labels = ownerLabels({ cluster: "c" });
  assert.equal(isOrphan(labels, { host: host(), startOf, exists: () => false }), false);
});

test("Docker's absence is a readable error with a hint", () => {
  for (const error of [
    absence("ENOENT", ""),
    absence(undefined, "Cannot connect to the Docker daemon at unix:///x."),
  ]) {
    assert.equal(error?.code, "ERR_MISSING_PROGRAM");
    assert.match(error?.hint ?? "", /embedded cluster needs no Docker/);
  }
  assert.equal(absence(undefined, "manifest unknown"), undefined);
});

test("an unreachable registry is distinguished from a missing image", () => {
  assert.equal(unreachable('Get "https://r.example/v2/": dial tcp: lookup r.example: no such host'), true);
  assert.equal(unreachable("manifest for istio/pilot:0 not found: manifest unknown"), false);
});

test("archives of docker save and OCI layouts name their images", () => {
  assert.deepEqual(namesOf([{ RepoTags: ["a:1", "b:2"] }, { RepoTags: null }]), ["a:1", "b:2"]);
  assert.deepEqual(namesOf({ manifests: [{ annotations: { "io.containerd.image.name": "c:3" } }, {}] }), ["c:3"]);
  assert.deepEqual(namesOf(undefined), []);
});

test("if this machine is not Linux, Docker runs the istioctl of the version, from the mirror and by its digest", () => {
  const digests = { "istio/istioctl:1.29.2": `sha256:${"a".repeat(64)}` };
  const { generator, identity } = istioctlInDocker("1.29.2", { mirror: "mirror.example/hub", digests });
  assert.equal(identity, `mirror.example/hub/istio/istioctl:1.29.2@sha256:${"a".repeat(64)}`);
  assert.equal(
    generator.join(" "),
    `docker run --rm --network=none --entrypoint=/usr/local/bin/istioctl ${identity} manifest generate`,
  );
});
