import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";
import { applyManifest } from "./apply.ts";
import { connectWith, type Kube, type Manifest } from "./client.ts";
import { readJournal, writeJournal } from "./journal.ts";
import { NONCE_ANNOTATION, RUN_LABEL } from "./ledger.ts";

/** A small API server: creations, server-side apply, preconditions on the uid. */
class ApiServer {
  readonly objects = new Map<string, Manifest>();
  readonly asked: string[] = [];
  /** The responses to this method are lost after it has taken effect. */
  loses: string | undefined;
  readonly #server: Server = createServer((request, response) => {
    void this.#answer(request).then(({ status, body }) => {
      if (this.loses === request.method) {
        this.loses = undefined;
        request.socket.destroy();
        return;
      }
      response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
    });
  });

  async start(): Promise<KubeConfig> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const { port } = this.#server.address() as { port: number };
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      { name: "c", server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
      { name: "u" },
    );
    return config;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body: object }> {
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const { pathname, searchParams } = new URL(request.url ?? "", "http://x");
    const resources = [
      { name: "configmaps", kind: "ConfigMap", namespaced: true },
      { name: "namespaces", kind: "Namespace", namespaced: false },
      { name: "services", kind: "Service", namespaced: true },
      // A kind of the list that this server has cluster-wide.
      { name: "secrets", kind: "Secret", namespaced: false },
    ];
    if (pathname === "/api/v1") return { status: 200, body: { kind: "APIResourceList", apiVersion: "v1", resources } };
    const failure = (code: number, reason: string) => ({
      status: code,
      body: { kind: "Status", apiVersion: "v1", code, reason, message: reason },
    });
    this.asked.push(`${request.method} ${pathname.replace("/api/v1/namespaces/", "")}`);
    const body = (text === "" ? {} : JSON.parse(text)) as Manifest & { preconditions?: { uid?: string } };
    const key = request.method === "POST" ? `${pathname}/${body.metadata.name}` : pathname;
    const found = this.objects.get(key);
    if (request.method === "POST") {
      if (found) return failure(409, "AlreadyExists");
      const managedFields = [{ manager: searchParams.get("fieldManager") ?? "", operation: "Update" }];
      const made = { ...body, metadata: { ...body.metadata, uid: randomUUID(), managedFields } };
      if (!searchParams.has("dryRun")) this.objects.set(key, made);
      return { status: 201, body: made };
    }
    if (!found) return failure(404, "NotFound");
    if (request.method === "DELETE") {
      const { uid } = body.preconditions ?? {};
      if (uid !== undefined && uid !== found.metadata.uid) return failure(409, "Conflict");
      this.objects.delete(key);
      return { status: 200, body: { kind: "Status", apiVersion: "v1", status: "Success" } };
    }
    if (request.method === "PATCH") {
      const type = request.headers["content-type"] ?? "";
      if (type.startsWith("application/json-patch")) {
        const [entry] = found.metadata.managedFields ?? [];
        if (entry) entry.operation = "Apply";
      } else if (type.startsWith("application/merge-patch")) {
        found["data"] = { ...(found["data"] as object), ...(body["data"] as object) };
      } else {
        if (body.metadata.uid !== undefined && body.metadata.uid !== found.metadata.uid) return failure(422, "Invalid");
        const { uid, managedFields } = found.metadata;
        this.objects.set(key, {
          ...body,
          metadata: { ...body.metadata, uid: uid ?? "", managedFields: managedFields ?? [] },
        });
      }
    }
    return { status: 200, body: this.objects.get(key) ?? {} };
  }
}

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-client-test-"));
after(() => rmSync(folder, { recursive: true }));

const object = (name: string, more: Partial<Manifest> = {}): Manifest => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  ...more,
  metadata: { name, namespace: "mine", ...more.metadata },
});

describe("on an existing cluster", () => {
  const server = new ApiServer();
  let config: KubeConfig;
  let kube: Kube;
  let journal: string;
  let runs = 0;
  const at = (namespace: string, name: string, kind = "configmaps"): string =>
    `/api/v1/namespaces/${namespace}/${kind}/${name}`;
  const put = (manifest: Manifest): Manifest => {
    const theirs = { ...manifest, metadata: { ...manifest.metadata, uid: randomUUID(), resourceVersion: "7" } };
    server.objects.set(at(manifest.metadata.namespace ?? "", manifest.metadata.name), theirs);
    return structuredClone(theirs);
  };
  const begin = (meshWide = false): void => {
    const inCluster = { namespace: "default", name: `journal-${++runs}` };
    journal = path.join(folder, `${runs}.jsonl`);
    writeJournal(journal, { run: `r${runs}`, namespaces: ["mine"], meshWide, inCluster });
    server.objects.set(at("default", inCluster.name), object(inCluster.name));
    kube = connectWith(config, journal);
  };

  before(async () => (config = await server.start()));
  after(() => server.stop());
  beforeEach(() => {
    server.objects.clear();
    begin();
    server.asked.length = 0;
  });

  test("a new object is one request, a creation, and its uid is recorded", async () => {
    const { metadata } = await kube.objects.apply(
      object("a", { metadata: { name: "a", annotations: { own: "kept" } } }),
    );
    assert.deepEqual(server.asked, ["POST mine/configmaps"]);
    assert.equal(metadata.labels?.[RUN_LABEL], `r${runs}`);
    assert.equal(metadata.annotations?.["own"], "kept");
    const [, intended, created] = readJournal(journal).records;
    assert.equal(intended?.["nonce"], metadata.annotations?.[NONCE_ANNOTATION]);
    assert.equal(created?.["uid"], metadata.uid);
  });

  test("an object that existed before gives an error and is not changed", async () => {
    const theirs = put(object("a", { metadata: { name: "a", labels: { [RUN_LABEL]: `r${runs}` } } }));
    await assert.rejects(applyManifest(kube, object("a")), {
      code: "ERR_CLUSTER_REFUSED",
      message: "ConfigMap mine/a exists already, and this run did not create it: nothing of it is changed",
    });
    await assert.rejects(kube.objects.remove(object("other")), /this run did not create it/);
    assert.equal(await kube.objects.remove(object("a")), false);
    assert.deepEqual(server.objects.get(at("mine", "a")), theirs);
  });

  test("a change removes earlier fields, keeps the owner's marks, and has the uid as a precondition", async () => {
    const { metadata } = await kube.objects.apply(object("a", { data: { old: "1" } }));
    await kube.objects.apply(object("a", { data: { new: "2" } }));
    const changed = server.objects.get(at("mine", "a"));
    assert.deepEqual(changed?.["data"], { new: "2" });
    assert.equal(changed?.metadata.uid, metadata.uid);
    assert.equal(changed?.metadata.managedFields?.[0]?.operation, "Apply");
    assert.equal(changed?.metadata.annotations?.[NONCE_ANNOTATION], metadata.annotations?.[NONCE_ANNOTATION]);
    server.asked.length = 0;
    await kube.objects.apply(object("a", { data: { new: "3" } }));
    assert.deepEqual(server.asked, ["PATCH mine/configmaps/a"]);
  });

  test("another user's object with the same name is neither changed nor removed", async () => {
    await kube.objects.apply(object("a"));
    const theirs = put(object("a"));
    await assert.rejects(kube.objects.apply(object("a", { data: {} })), /this run did not create it/);
    assert.equal(await kube.objects.remove(object("a")), false);
    assert.deepEqual(server.objects.get(at("mine", "a")), theirs);
  });

  test("an object is recognised if the response to its creation is lost", async () => {
    server.loses = "POST";
    await kube.objects.apply(object("a")).catch(() => undefined);
    assert.ok(server.objects.has(at("mine", "a")));
    await kube.objects.apply(object("a", { data: { now: "there" } }));
    assert.deepEqual(server.objects.get(at("mine", "a"))?.["data"], { now: "there" });
    assert.equal(await kube.objects.remove(object("a")), true);
  });

  test("another process of the run changes and removes what this one created", async () => {
    await kube.objects.apply(object("a"));
    const other = connectWith(config, journal);
    await other.objects.apply(object("a", { data: { by: "other" } }));
    assert.equal(await connectWith(config, journal).objects.remove(object("a")), true);
    assert.equal(server.objects.size, 1, "the journal in the cluster");
  });

  test("an object that is removed may be created again", async () => {
    await kube.objects.apply(object("a"));
    assert.equal(await kube.objects.remove(object("a")), true);
    assert.equal(await kube.objects.remove(object("a")), false);
    await kube.objects.apply(object("a"));
    assert.equal(await kube.objects.remove(object("a")), true);
  });

  test("an object that reaches beyond the run is an error before it is sent", async () => {
    const beyond = object("a", { metadata: { name: "a", namespace: "theirs" } });
    await assert.rejects(kube.objects.apply(beyond), /is applied to theirs, where others work/);
    await assert.rejects(
      kube.objects.apply(object("s", { kind: "Secret" })),
      /Secret mine\/s is for the whole cluster/,
    );
    const port = object("s", { kind: "Service", spec: { type: "NodePort" } });
    await assert.rejects(kube.objects.apply(port), /is of the type NodePort/);
    await assert.rejects(kube.objects.apply(beyond, { dryRun: true }), /where others work/);
    assert.deepEqual(server.asked, []);
  });

  test("an object that may reach beyond the run is recorded in the cluster before and after its creation", async () => {
    begin(true);
    const beyond = object("a", { metadata: { name: "a", namespace: "theirs" } });
    const { metadata } = await kube.objects.apply(beyond);
    assert.deepEqual(server.asked, [
      `PATCH default/configmaps/journal-${runs}`,
      "POST theirs/configmaps",
      `PATCH default/configmaps/journal-${runs}`,
    ]);
    const data = Object.values(
      server.objects.get(at("default", `journal-${runs}`))?.["data"] as Record<string, string>,
    );
    assert.deepEqual(
      data.map((text) => (JSON.parse(text) as { uid: string }).uid),
      [metadata.uid],
    );
    server.objects.delete(at("default", `journal-${runs}`));
    await assert.rejects(kube.objects.apply(object("b", { metadata: { name: "b", namespace: "theirs" } })), {
      code: "ERR_JOURNAL",
    });
    assert.ok(!server.objects.has(at("theirs", "b")));
  });

  test("the library's own methods that change objects throw", async () => {
    put(object("a"));
    for (const change of [
      () => kube.objects.create(object("b")),
      () => kube.objects.patch(object("a")),
      () => kube.objects.replace(object("a")),
      () => kube.objects.delete(object("a")),
    ])
      await assert.rejects(change(), /by apply and remove alone/);
    assert.deepEqual(server.asked, []);
  });

  test("on meshproof's own cluster objects are applied by name", async () => {
    const own = connectWith(config);
    put(object("a"));
    await own.objects.apply(object("a", { data: { k: "v" } }));
    assert.equal(await own.objects.remove(object("a")), true);
    assert.deepEqual(server.asked, ["PATCH mine/configmaps/a", "DELETE mine/configmaps/a"]);
  });
});
