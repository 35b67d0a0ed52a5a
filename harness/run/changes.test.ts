import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ApiException } from "@kubernetes/client-node";
import type { Manifest } from "../mesh/client.ts";
import { parseManifest } from "../scenario/index.ts";
import {
  changesOf,
  leave,
  makeChanges,
  removeApplied,
  removeLeft,
  type Applied,
  type AwaitedDeployment,
  type ChangingMesh,
} from "./changes.ts";

const yaml = (kind: string, name: string): string =>
  `apiVersion: v1\nkind: ${kind}\nmetadata: { name: ${name}, namespace: "\${ns}" }\n`;
const file = (text: string) => parseManifest(text, "a.yaml");
const values = {
  ...{ ns: "foo", fresh: "1", outsideIp: "", outsideNs: "", outsideHost: "" },
  jwks: () => "",
  jwksUri: () => "",
};
const step = (apply: string[], deleted: string[] = []) =>
  changesOf({ apply: apply.map(file), delete: deleted.map(file) }, values);

describe("what a step changes", () => {
  it("has the YAML of each object alone, also where a file has several or a List", () => {
    const two = `# first\n${yaml("ConfigMap", "a")}---\n${yaml("Secret", "b")}`;
    const list = `apiVersion: v1\nkind: List\nitems:\n  - { kind: ConfigMap, metadata: { name: c } }\n  - { kind: Secret, metadata: { name: d } }\n`;
    const found = step([two, list]);
    assert.deepEqual(
      found.map(({ manifest }) => manifest.metadata.name),
      ["a", "b", "c", "d"],
    );
    assert.equal(found[0]?.yaml, `# first\n${yaml("ConfigMap", "a").replace("${ns}", "foo")}`);
    assert.equal(found[1]?.yaml, yaml("Secret", "b").replace("${ns}", "foo"));
    assert.match(found[2]?.yaml ?? "", /kind: ConfigMap/);
    assert.doesNotMatch(found[2]?.yaml ?? "", /Secret|List/);
  });
});

/** A cluster that writes down what is done to it. */
function cluster(
  existing: Readonly<Record<string, Readonly<Record<string, string>>>> = {},
  refuses = "",
): { readonly mesh: ChangingMesh; readonly done: string[] } {
  const done: string[] = [];
  const objects = {
    apply: (manifest: Manifest) => {
      const { name, labels } = manifest.metadata;
      if (name === refuses) return Promise.reject(new ApiException(422, "no", JSON.stringify({ message: "no" }), {}));
      done.push(`apply ${name} of ${labels?.["meshproof.dev/run"]}`);
      return Promise.resolve({ ...manifest, metadata: { ...manifest.metadata, uid: `uid of ${name}` } });
    },
    read: ({ metadata: { name } }: Manifest) =>
      existing[name]
        ? Promise.resolve({ metadata: { labels: existing[name] } })
        : Promise.reject(new ApiException(404, "", "", {})),
    remove: ({ metadata: { name } }: Manifest) => Promise.resolve(done.push(`remove ${name}`)),
    removeExactly: ({ name }: { readonly name: string }, uid: string) =>
      Promise.resolve(done.push(`remove ${name} by ${uid}`)),
  };
  const mesh = {
    ...{ plan: { runId: "r" }, handle: { namespace: "foo", ours: true }, kube: { objects } },
    gatewayGone: () => Promise.resolve(),
    deploymentReady: (namespace: string, name: string, { replicas }: AwaitedDeployment) =>
      Promise.resolve(
        void done.push(`${namespace}/${name} is ready${replicas === undefined ? "" : ` with ${replicas}`}`),
      ),
    podReady: (namespace: string, name: string) =>
      Promise.resolve(void done.push(`the pod ${namespace}/${name} is ready`)),
    forget: () => void done.push("forget"),
  };
  return { mesh, done };
}

describe("a step's changes", () => {
  it("are deletions first, with substitutions made", () => {
    const changes = step([yaml("ConfigMap", "a")], [yaml("ConfigMap", "b")]);
    assert.deepEqual(
      changes.map(({ verb, manifest }) => `${verb} ${manifest.metadata.namespace}/${manifest.metadata.name}`),
      ["delete foo/b", "apply foo/a"],
    );
    assert.match(changes[1]?.yaml ?? "", /namespace: "?foo/);
  });

  it("makes none again that was made before the others", async () => {
    const { mesh, done } = cluster();
    const applied: Applied = new Map();
    const changes = step([yaml("ConfigMap", "a"), yaml("ConfigMap", "b")]);
    await makeChanges(mesh, changes.slice(1), applied);
    await makeChanges(mesh, changes, applied);
    assert.deepEqual(done, ["apply b of r", "apply a of r"]);
    await makeChanges(mesh, step([yaml("ConfigMap", "a")]), applied);
    assert.equal(done.at(-1), "apply a of r");
    assert.equal(done.length, 3);
  });

  it("are made in order, and the scenario's objects are kept", async () => {
    const { mesh, done } = cluster();
    const applied: Applied = new Map();
    await makeChanges(mesh, step([yaml("ConfigMap", "a"), yaml("ConfigMap", "b")]), applied);
    await makeChanges(mesh, step([yaml("ConfigMap", "c")], [yaml("ConfigMap", "a")]), applied);
    assert.deepEqual(done, ["apply a of r", "apply b of r", "remove a", "apply c of r"]);
    await removeApplied(mesh, applied);
    assert.deepEqual(done.slice(4), ["remove c", "remove b"]);
    assert.equal(applied.size, 0);
  });

  it("wait for Pods among them", async () => {
    const { mesh, done } = cluster();
    await makeChanges(mesh, step([yaml("Pod", "app")]), new Map());
    assert.deepEqual(done.slice(-2), ["the pod foo/app is ready", "forget"]);
  });

  it("wait for Deployments among them, and have places and targets looked up again", async () => {
    const { mesh, done } = cluster();
    await makeChanges(mesh, step([yaml("Deployment", "app"), yaml("Service", "app")]), new Map());
    assert.deepEqual(done.slice(2), ["foo/app is ready", "forget"]);
    const deleted = cluster();
    await makeChanges(deleted.mesh, step([], [yaml("Service", "app")]), new Map());
    assert.deepEqual(deleted.done, ["remove app", "forget"]);
  });

  it("wait for the number of pods that a Gateway's parameters demand, also where an earlier step applied them", async () => {
    const { mesh, done } = cluster();
    const applied: Applied = new Map();
    await makeChanges(
      mesh,
      step([`${yaml("ConfigMap", "pods")}data: { deployment: "spec: { replicas: 0 }" }\n`]),
      applied,
    );
    const parametersRef = '{ group: "", kind: ConfigMap, name: pods }';
    const gateway = yaml("Gateway", "own").replace("v1", "gateway.networking.k8s.io/v1");
    const spec = `spec: { gatewayClassName: istio-waypoint, infrastructure: { parametersRef: ${parametersRef} } }\n`;
    await makeChanges(mesh, step([gateway + spec]), applied);
    assert.deepEqual(done.slice(2), ["foo/own is ready with 0", "forget"]);
  });

  it("leave an object in the books that the API server may have taken", async () => {
    const { mesh } = cluster({}, "bad");
    const applied: Applied = new Map();
    await assert.rejects(makeChanges(mesh, step([yaml("ConfigMap", "bad")]), applied), /rejected ConfigMap foo\/bad/);
    assert.equal(applied.size, 1);
  });

  it("never replace another user's object", async () => {
    const MANAGED = { "app.kubernetes.io/managed-by": "meshproof" };
    const make = (labels: Readonly<Record<string, string>>): Promise<void> =>
      makeChanges(cluster({ a: labels }).mesh, step([yaml("ConfigMap", "a")]), new Map());
    await assert.rejects(make({ team: "x" }), /exists already and was not made by meshproof/);
    await assert.rejects(make({ ...MANAGED, "meshproof.dev/run": "other" }), /was made by another run/);
    await make({ ...MANAGED, "meshproof.dev/run": "r" });
    await make(MANAGED); // a workload of meshproof
  });
});

describe("the end of a scenario", () => {
  const policy = (name: string, app: string | undefined, namespace = "foo"): Manifest => ({
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: { name, namespace },
    spec: app === undefined ? {} : { selector: { matchLabels: { app } } },
  });
  /** A cluster in which a scenario has applied something. */
  const having = async (...manifests: readonly Manifest[]) => {
    const { mesh, done } = cluster();
    const applied: Applied = new Map();
    await makeChanges(
      mesh,
      manifests.map((manifest) => ({ verb: "apply", manifest, file: "", line: 1, yaml: "" })),
      applied,
    );
    done.length = 0;
    return { ending: { ...mesh, left: new Map() as Applied }, applied, done };
  };
  const other = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "other", namespace: "foo" } };

  it("leaves policies of one workload to the next scenario, which removes them and no others of their names", async () => {
    const { ending, applied, done } = await having(policy("a", "httpbin"), other, policy("b", "httpbin"));
    await leave(ending, applied);
    assert.deepEqual(done, ["remove other"]);
    assert.equal(applied.size, 0);
    await removeLeft(ending);
    assert.deepEqual(done, ["remove other", "remove a by uid of a", "remove b by uid of b"]);
    assert.equal(ending.left.size, 0);
  });

  it("removes at once what may refuse others than the next scenario's own requests", async () => {
    const { ending, applied, done } = await having(
      policy("all", undefined),
      policy("root", "httpbin", "istio-system"),
      policy("keys", "nginx-proxy"),
    );
    await leave(ending, applied);
    assert.deepEqual(done, ["remove keys", "remove root", "remove all"]);
    assert.equal(ending.left.size, 0);
  });

  it("leaves nothing on a cluster of others", async () => {
    const { ending, applied, done } = await having(policy("a", "httpbin"));
    await leave({ ...ending, handle: { ...ending.handle, ours: false } }, applied);
    assert.deepEqual(done, ["remove a"]);
  });

  it("still knows what could not be removed", async () => {
    const { ending, applied } = await having(policy("a", "httpbin"));
    await leave(ending, applied);
    const kube = { objects: { ...ending.kube.objects, removeExactly: () => Promise.reject(new Error("away")) } };
    await assert.rejects(removeLeft({ ...ending, kube }), /away/);
    assert.equal(ending.left.size, 1);
  });
});
