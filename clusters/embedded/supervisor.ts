/**
 * Runs inside the cluster's namespaces, as the child of their first process: creates the node, starts the control plane
 * and the kubelet, and ends if the process that started it ends before it sent `keep`, or if a program of the control
 * plane ends. The kernel then kills all other processes of the cluster.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { writeBootstraps } from "../components/bootstrap.ts";
import { AdminApi, until } from "./api.ts";
import { BASE_OBJECTS, commandOf, configFiles, KUBELET_ACCESS, READY_URLS } from "./control-plane.ts";
import type { FromSupervisor, SupervisorOptions, ToSupervisor } from "./messages.ts";
import { API_PORT, NODE_CONFIG, NODE_ETCD, NODE_PROGRAMS, NODE_SOCKETS, type NodeProgram } from "./node-layout.ts";
import { TOOL_PATH } from "./kubelet/tools.ts";
import { makeNode } from "./node-root.ts";
import { createPki, kubeconfigOf, type Pki } from "./pki.ts";
import { withAuthority } from "../../harness/mesh/manifests.ts";
import { copyData, makeShareable } from "./etcd-data.ts";
import { startDaemon, type Daemon } from "./processes.ts";
import { relay } from "./relay.ts";
import { runDirOf } from "./run-dir.ts";

const options = JSON.parse(process.argv[2] ?? "{}") as SupervisorOptions;
const dir = runDirOf(options.name, options.base);
const ending = new AbortController();
const finish = Promise.withResolvers<void>();
let kept = false;

process.on("message", (message: ToSupervisor, handle: unknown) => {
  if (message.type === "relay") relay(handle as Server, API_PORT);
  else if (message.type === "finish") finish.resolve();
  else kept = true;
});
process.on("disconnect", () => {
  if (!kept) process.exit(0);
});

function tell(message: FromSupervisor): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(message, () => resolve());
    else resolve();
  });
}

/** Ends the cluster, and writes the reason to connected processes and to a file. */
async function fail(message: string): Promise<void> {
  if (ending.signal.aborted) return;
  ending.abort();
  process.stderr.write(`${message}\n`);
  await writeFile(dir.ended, message).catch(() => undefined);
  await tell({ type: "failed", message });
  process.exit(1);
}

/** Serves the control socket: the end of a connection shows a client that the cluster has ended. */
function serveControl(): void {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.resume();
  });
  server.on("error", (error) => void fail(`the control socket failed: ${error.message}`));
  server.listen(dir.control);
}

async function writeSecrets(pki: Pki, nodeConfig: string): Promise<void> {
  const admin = { context: `meshproof-${options.name}`, port: options.apiPort };
  const files: Record<string, string> = {
    [dir.kubeconfig]: kubeconfigOf(pki, "admin", admin),
    [dir.jwksAuthority.certificate]: pki.jwksAuthority.certificate,
    [dir.jwksAuthority.privateKey]: pki.jwksAuthority.privateKey,
  };
  for (const [name, text] of Object.entries(configFiles(pki))) files[join(nodeConfig, name)] = text;
  await Promise.all(Object.entries(files).map(([file, text]) => writeFile(file, text, { mode: 0o600 })));
}

async function start(): Promise<void> {
  const { components, root } = options.installed;
  const programs = new Map(components.flatMap((c) => c.programs.map((name) => [name, join(c.dir, "bin", name)])));
  const bin = (name: string): string => programs.get(name) ?? name;
  const node = await makeNode({
    debianRoot: root,
    state: dir.state,
    programs: NODE_PROGRAMS.map(bin),
  });
  const shelf = { ...options.installed, bin, bootstraps: await writeBootstraps(components, dir.state) };
  const run = (name: NodeProgram): Daemon => {
    // Go collects garbage half as often: at the start, when most of it is made, that is a tenth of the API server's work.
    const env = { PATH: TOOL_PATH, HOME: "/run", LANG: "C.UTF-8", GOGC: "200" };
    return startDaemon(name, ["chroot", node, ...commandOf(name)], { logs: dir.logs, env }, (why) => void fail(why));
  };
  const { data, makeDataAt } = options;
  if (data !== undefined) await copyData(data.folder, join(node, NODE_ETCD));
  const etcd = run("etcd");
  const pki = createPki();
  await writeSecrets(pki, join(node, NODE_CONFIG));
  const apiServer = run("kube-apiserver");
  // Imported while the API server starts.
  const { startNodeAgent } = await import("./node-agent.ts");
  const api = new AdminApi(pki);
  await api.untilReady(ending.signal);
  // What each cluster has for itself is there before a controller or istiod looks for it; the data has the rest.
  const own = data?.own.map(({ path, object }) => ({
    path,
    object: withAuthority([object], pki.jwksAuthority.certificate)[0] ?? object,
  }));
  await Promise.all((own ?? BASE_OBJECTS).map(({ path, object }) => api.apply(path, object, ending.signal)));
  await tell({ type: "api" });
  if (makeDataAt !== undefined) {
    api.close();
    return await makeData(node, { etcd, apiServer, makeDataAt });
  }
  run("kube-controller-manager");
  run("kube-scheduler");
  run("kube-proxy");
  run("coredns");
  await Promise.all([
    api
      .untilAllowed(KUBELET_ACCESS, ending.signal)
      .then(() => startNodeAgent({ dir, nodeRoot: node, debianRoot: root, pki, shelf })),
    ...Object.values(READY_URLS).map((url) => until(async () => (await fetch(url)).ok, ending.signal)),
  ]);
  api.close();
  await tell({ type: "ready" });
}

/** Data for clusters to start from: the starting process applies Istio's objects meanwhile. */
async function makeData(
  node: string,
  made: { readonly etcd: Daemon; readonly apiServer: Daemon; readonly makeDataAt: string },
): Promise<void> {
  await finish.promise;
  await made.apiServer.stop();
  // By a relative path: that of a Unix socket may not be long.
  process.chdir(join(node, NODE_SOCKETS));
  await makeShareable("etcd");
  process.chdir("/");
  await made.etcd.stop();
  await copyData(join(node, NODE_ETCD), made.makeDataAt);
  await tell({ type: "made" });
}

process.on("uncaughtException", (error) => void fail(error.stack ?? error.message));
serveControl();
await mkdir(dir.state);
try {
  await start();
} catch (error) {
  await fail(error instanceof Error ? error.message : String(error));
}
