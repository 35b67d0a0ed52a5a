import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Manifest } from "../../harness/mesh/client.ts";
import { useCache } from "../components/cache.fixture.ts";
import type { Installed } from "../components/components.ts";
import type { Launched } from "./launch.ts";
import { ensureStartData } from "./start-data.ts";

const CRD: Manifest = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "a" },
};
const AUTHORITY: Manifest = {
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "pilot-jwks-extra-cacerts", namespace: "istio-system" },
  data: { "extra.pem": "JWKS-CA-OF-THIS-CLUSTER" },
};

const installed = {
  components: [
    { name: "etcd", version: "3", digest: "sha256:e", programs: ["etcd"] },
    { name: "kubernetes", version: "1", digest: "sha256:k", programs: ["kube-apiserver"] },
  ],
} as unknown as Installed;

/** Makes the data with a control plane that notes what happens to it. */
function make(
  manifests: readonly Manifest[],
  how: { readonly fails?: boolean } = {},
): { log: string[]; data: ReturnType<typeof ensureStartData> } {
  const log: string[] = [];
  const launch = (folder: string): Promise<Launched> => {
    const launched = {
      api: Promise.resolve(),
      async finish() {
        log.push("finish");
        await mkdir(folder);
        await writeFile(join(folder, "db"), "objects");
      },
      stop() {
        log.push("stop");
        return Promise.resolve();
      },
    };
    return Promise.resolve(launched as unknown as Launched);
  };
  const apply = (objects: readonly Manifest[]): Promise<void> => {
    log.push(`apply ${objects.map(({ metadata }) => metadata.name).join(" ")}`);
    return how.fails === true ? Promise.reject(new Error("no")) : Promise.resolve();
  };
  return { log, data: ensureStartData({ installed, manifests, launch, apply, progress: () => undefined }) };
}

describe("the data that clusters start from", () => {
  let restore: () => void;
  before(async () => {
    restore = useCache(await mkdtemp(join(tmpdir(), "cache-")));
  });
  after(() => restore());

  test("is made once, without what each cluster has for itself", async () => {
    const first = make([CRD, AUTHORITY]);
    const data = await first.data;
    assert.deepEqual(first.log, ["apply a", "finish", "stop"]);
    assert.equal(await readFile(join(data?.folder ?? "", "db"), "utf8"), "objects");
    assert.deepEqual(data?.own, [
      { path: "/api/v1/namespaces/istio-system/configmaps/pilot-jwks-extra-cacerts", object: AUTHORITY },
    ]);
    const second = make([CRD, AUTHORITY]);
    assert.deepEqual(await second.data, data);
    assert.deepEqual(second.log, []);
  });

  test("is made anew for other manifests", async () => {
    const other = make([{ ...CRD, spec: {} }, AUTHORITY]);
    await other.data;
    assert.deepEqual(other.log, ["apply a", "finish", "stop"]);
  });

  test("is not kept where an object cannot be applied", async () => {
    const manifests = [{ ...CRD, metadata: { name: "bad" } }];
    const failing = make(manifests, { fails: true });
    await assert.rejects(failing.data, { code: "ERR_COMPONENT" });
    assert.deepEqual(failing.log, ["apply bad", "stop"]);
    const again = make(manifests);
    await again.data;
    assert.deepEqual(again.log, ["apply bad", "finish", "stop"]);
  });
});
