/** istiod without a cluster: it reads objects from an API of our own and answers proxies on a loopback port. */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { stringify } from "yaml";
import { MeshproofError } from "../model/errors.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";
import type { ManifestObject } from "../model/manifest.ts";
import { connectAds, LISTENERS, ROUTES, type Ads } from "./ads.ts";
import { withFieldNames } from "./field-names.ts";
import { startKubeApi, type KubeApi } from "./kube-api.ts";
import type { IstiodSetting } from "./mesh-config.ts";
import type { NodeInfo } from "./protobuf.ts";

export interface IstiodOptions {
  /** The program pilot-discovery. */
  readonly program: string;
  /** An empty folder of this process's own. */
  readonly folder: string;
  readonly setting: IstiodSetting;
  readonly objects: readonly ManifestObject[];
  /** Definitions of kinds that are not Istio's. */
  readonly crds: readonly ManifestObject[];
  readonly signal?: AbortSignal | undefined;
}

export interface Istiod extends AsyncDisposable {
  /** Has istiod compute everything anew. */
  push(): void;
  /** The listeners and routes that istiod makes for a proxy, in the form of Envoy's `config_dump`. */
  dump(node: NodeInfo): Promise<unknown>;
}

const START_LIMIT_MS = 20_000;
const POLL_MS = 20;
/** Somebody else may take a port between its choice and istiod's start. */
const TRIES = 3;

/** No cluster, no certificates, and pushes without waiting for further changes. */
const ENVIRONMENT = {
  ENABLE_CA_SERVER: "false",
  PILOT_CERT_PROVIDER: "none",
  PILOT_DEBOUNCE_AFTER: "1ms",
  PILOT_ENABLE_STATUS: "false",
  PILOT_ENABLE_ANALYSIS: "false",
  PILOT_ENABLE_GATEWAY_API_STATUS: "false",
  PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER: "false",
  INJECTION_WEBHOOK_CONFIG_NAME: "",
  VALIDATION_WEBHOOK_CONFIG_NAME: "",
  POD_NAMESPACE: "istio-system",
  POD_NAME: "istiod-meshproof",
  CLUSTER_ID: "Kubernetes",
};

/** @throws ERR_COMPONENT where it does not start */
export async function startIstiod(options: IstiodOptions): Promise<Istiod> {
  const { folder, setting, objects, crds } = options;
  await writeFile(path.join(folder, "mesh.yaml"), stringify(setting.mesh));
  const api = await startKubeApi([...objects, pusher(0)], crds);
  await writeFile(path.join(folder, "kubeconfig.yaml"), stringify(kubeconfigFor(api.url)));
  try {
    for (let left = TRIES; ; left--) {
      const started = await tryStart(options, api);
      if (!(started instanceof Error)) return started;
      if (left === 1) throw started;
    }
  } catch (error) {
    await api[Symbol.asyncDispose]();
    throw error;
  }
}

/** A ServiceEntry for nobody: Gateways of the Gateway API that were converted before their Services are only converted again after a change. */
function pusher(times: number): ManifestObject {
  return {
    apiVersion: "networking.istio.io/v1",
    kind: "ServiceEntry",
    metadata: { name: "meshproof-push", namespace: ROOT_NAMESPACE },
    spec: {
      hosts: ["push.meshproof.invalid"],
      exportTo: ["."],
      location: "MESH_EXTERNAL",
      resolution: "NONE",
      ports: [{ number: 1000 + times, name: "tcp", protocol: "TCP" }],
    },
  };
}

function kubeconfigFor(server: string): unknown {
  return {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "meshproof", cluster: { server } }],
    contexts: [{ name: "meshproof", context: { cluster: "meshproof", user: "meshproof" } }],
    users: [{ name: "meshproof", user: {} }],
    "current-context": "meshproof",
  };
}

async function tryStart(
  { program, folder, setting, signal }: IstiodOptions,
  api: KubeApi,
): Promise<Istiod | MeshproofError> {
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(
    "setpriv",
    [
      // The kernel ends it with this process, however that ends.
      ...["--pdeathsig", "KILL", "--", program],
      ...["discovery", "--kubeconfig", path.join(folder, "kubeconfig.yaml")],
      ...["--meshConfig", path.join(folder, "mesh.yaml"), "--clusterID", "Kubernetes"],
      ...["--httpAddr", address, "--grpcAddr", "", "--secureGRPCAddr", "", "--httpsAddr", "", "--monitoringAddr", ""],
      ...["--ctrlz_port", "0", "--keepaliveMaxServerConnectionAge", "24h", "--log_output_level", "default:warn"],
    ],
    {
      cwd: folder,
      env: { PATH: process.env["PATH"], ...ENVIRONMENT, ...setting.environment },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let said = "";
  const keep = (chunk: Buffer): void => void (said = (said + chunk.toString()).slice(-10_000));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const broken = new Promise<MeshproofError>((resolve) =>
    child.once("error", (cause) =>
      resolve(new MeshproofError("ERR_COMPONENT", `istiod does not start: ${cause.message}`, { cause })),
    ),
  );
  const ended = once(child, "exit").then(
    () => new MeshproofError("ERR_COMPONENT", `istiod ended: ${said.trim()}`),
    () => broken,
  );
  const ads = connectAds(address);
  const ready = untilReady(ads, signal).then((isReady) =>
    isReady ? undefined : new MeshproofError("ERR_COMPONENT", `istiod does not start: ${said.trim()}`),
  );
  const failed = await Promise.race([ready, ended, broken]);
  if (failed !== undefined) {
    ads.close();
    await stop(child);
    signal?.throwIfAborted();
    return failed;
  }
  let pushes = 0;
  return {
    push: () => api.replace(pusher(++pushes)),
    dump: (node) => readDump(address, ads, node),
    async [Symbol.asyncDispose]() {
      ads.close();
      await stop(child);
      await api[Symbol.asyncDispose]();
    },
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL"); // it has nothing to finish
  await gone;
}

/** Until istiod gives a proxy its config: it refuses streams until it has read everything. */
async function untilReady(ads: Ads, signal: AbortSignal | undefined): Promise<boolean> {
  const node = { id: "sidecar~127.0.0.1~nobody.default~default.svc.cluster.local", cluster: "nobody", metadata: {} };
  for (const until = performance.now() + START_LIMIT_MS; performance.now() < until; await delay(POLL_MS)) {
    if (signal?.aborted === true) return false;
    const stream = ads.open(node);
    const isReady = await stream.subscribe(LISTENERS).then(
      () => true,
      () => false,
    );
    stream.close();
    if (isReady) return true;
  }
  return false;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || address === null) throw new Error("a TCP server has a port");
  return address.port;
}

async function readDump(address: string, ads: Ads, node: NodeInfo): Promise<unknown> {
  const stream = ads.open(node);
  try {
    await stream.subscribe(LISTENERS);
    const ask = async (): Promise<unknown> => {
      const [, , id = ""] = node.id.split("~");
      const answer = await fetch(`http://${address}/debug/config_dump?proxyID=${encodeURIComponent(id)}`);
      if (!answer.ok)
        throw new MeshproofError("ERR_COMPONENT", `istiod has no config for ${id}: ${await answer.text()}`);
      return withFieldNames(await answer.json());
    };
    const dump = await ask();
    const routes = routeNames(dump);
    if (routes.length === 0) return dump;
    await stream.subscribe(ROUTES, routes);
    return await ask();
  } finally {
    stream.close();
  }
}

/** The routes that a proxy would subscribe to, by its listeners. */
function routeNames(dump: unknown): string[] {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [name, inner] of Object.entries(value))
      if (name === "route_config_name" && typeof inner === "string") found.add(inner);
      else visit(inner);
  };
  visit(dump);
  return [...found].sort();
}
