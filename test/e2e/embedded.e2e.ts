/**
 * Real clusters: what users do with kubectl, and that nothing is left of a cluster however it ends. Needs the components (built
 * once); works as root and as an ordinary user.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { useCache } from "../../clusters/components/cache.fixture.ts";
import { cacheRoot } from "../../clusters/components/cache.ts";
import { ensureComponents } from "../../clusters/components/components.ts";
import { type Cluster, toHandle } from "../../clusters/cluster.ts";
import { attachEmbedded, listEmbedded, startEmbedded, stopEmbedded } from "../../clusters/embedded/embedded.ts";
import { runDirNames, runDirOf } from "../../clusters/embedded/run-dir.ts";

const name = `e2e-${process.pid}`;
const dir = runDirOf(name);
const quiet = (): void => undefined;
const start = (signal?: AbortSignal): Promise<Cluster> => startEmbedded({ name, keep: true, progress: quiet, signal });

/** The namespaces of a cluster and the port of its relay: what the kernel must have forgotten in the end. */
interface Footprint {
  readonly pids: Readonly<Record<"unshare" | "first" | "supervisor", number>>;
  readonly namespaces: readonly string[];
  readonly port: number;
}

/** The processes whose command line names this cluster, from the outermost in. */
async function processes(): Promise<{ pid: number; command: string }[]> {
  const found = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (command.includes(`"name":"${name}"`) && command.includes("supervisor.ts"))
      found.push({ pid: Number(pid), command });
  }
  return found.sort((a, b) => a.pid - b.pid);
}

async function untilSo<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
  for (const until = Date.now() + 60_000; Date.now() < until; await delay(50)) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
  }
  throw new Error(`not within a minute: ${what}`);
}

/** Waits until the cluster has namespaces, a file system, a network and a running etcd. */
async function footprint(): Promise<Footprint> {
  return await untilSo("the cluster has its namespaces and starts its programs", async () => {
    const found = await processes();
    const pidOf = (program: string): number | undefined =>
      found.find(({ command }) => command.startsWith(program))?.pid;
    const [unshare, first] = [pidOf("unshare"), pidOf("sh\0")];
    const supervisor = found.find(({ pid }) => pid !== unshare && pid !== first)?.pid;
    const kubeconfig = await readFile(dir.kubeconfig, "utf8").catch(() => undefined);
    if (!unshare || !first || !supervisor || !kubeconfig) return undefined;
    const namespaces = await Promise.all(
      ["pid", "net", "mnt"].map((kind) => readlink(`/proc/${supervisor}/ns/${kind}`)),
    );
    const port = Number(/https:\/\/127\.0\.0\.1:(\d+)/.exec(kubeconfig)?.[1]);
    return { pids: { unshare, first, supervisor }, namespaces, port };
  });
}

const interfaces = Object.keys(networkInterfaces()).sort();

async function assertNothingLeft({ namespaces, port }: Footprint): Promise<void> {
  await untilSo("the kernel has ended every process of the cluster", async () => (await members(namespaces)) === 0);
  assert.deepEqual(await processes(), []);
  assert.ok(!(await readFile("/proc/self/mountinfo", "utf8")).includes(dir.path), "a mount is left on the host");
  assert.deepEqual(Object.keys(networkInterfaces()).sort(), interfaces);
  // The starter opened the socket, and may still be ending.
  await untilSo("nobody listens on the relay's port", async () => !(await reachable(port)));
  assert.equal(await attachEmbedded(name), undefined);
}

/** How many processes are in one of these namespaces. */
async function members(namespaces: readonly string[]): Promise<number> {
  let count = 0;
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const links = await Promise.all(
      ["pid", "net", "mnt"].map((kind) => readlink(`/proc/${pid}/ns/${kind}`).catch(() => "")),
    );
    if (links.some((link) => namespaces.includes(link))) count++;
  }
  return count;
}

async function reachable(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** Starts a cluster in a process of its own, which waits on it and does not keep it. */
function startElsewhere(): number {
  const code = `
    import { startEmbedded } from ${JSON.stringify(new URL("../../clusters/embedded/embedded.ts", import.meta.url).href)};
    await startEmbedded({ name: ${JSON.stringify(name)}, keep: false, progress: () => {} });
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: "ignore" });
  return child.pid ?? 0;
}

await ensureComponents({ progress: (line) => process.stderr.write(`${line}\n`) });
after(() => stopEmbedded(name));

describe("a cluster", () => {
  let kubectl: (args: string, input?: string) => Promise<{ stdout: string; stderr: string; exitCode?: number }>;
  const apply = (object: object): ReturnType<typeof kubectl> => kubectl("apply -f -", JSON.stringify(object));
  let cluster: Cluster;
  let left: Footprint;

  before(async () => {
    cluster = await start();
    await cluster.ready();
    left = await footprint();
    const { bin } = await ensureComponents({ progress: quiet });
    const env = { KUBECONFIG: cluster.kubeconfig };
    kubectl = (args, input = "") => execa(bin("kubectl"), args.split(" "), { env, reject: false, input });
  });

  test("has the versions that it reports", async () => {
    const handle = await toHandle(cluster);
    assert.match(handle.info.versions.kubernetes, /^v1\.\d+\.\d+$/);
    assert.match(handle.info.versions.istio, /^1\.\d+\.\d+/);
    assert.match(handle.info.versions.envoy, /^1\.\d+\.\d+/);
    assert.match(handle.info.digests["istio"] ?? "", /^sha256:/);
    assert.equal(handle.info.rootless, process.getuid?.() !== 0);
    const { stdout } = await kubectl("config get-contexts -o name");
    assert.equal(stdout, `meshproof-${name}`);
  });

  test("is found by its name, and used", async () => {
    assert.equal((await attachEmbedded(name))?.kubeconfig, cluster.kubeconfig);
    assert.ok((await listEmbedded()).some((found) => found.name === name));
    await assert.rejects(start(), { code: "ERR_CLUSTER_START", message: /running already/ });
  });

  test("answers kubectl get, logs and exec, with input and exit code", async () => {
    assert.match((await kubectl("get nodes")).stdout, /meshproof +Ready/);
    const script = "echo${IFS}hello;exec${IFS}sleep${IFS}1000";
    await kubectl(`run talker --image=docker.io/curlimages/curl --command -- sh -c ${script}`);
    const { stdout: waited } = await kubectl("wait --for=condition=Ready pod/talker --timeout=60s");
    assert.match(waited, /condition met/);
    assert.equal((await kubectl("logs talker")).stdout, "hello");
    assert.equal((await kubectl("exec -i talker -- cat", "over")).stdout, "over");
    assert.equal((await kubectl("exec talker -- false")).exitCode, 1);
  });

  test("lists its images if one is unknown", async () => {
    await kubectl("run unknown --image=example.com/nobody/knows:1");
    const seen = await untilSo("the pod waits for its image", async () => {
      const path = "{.status.containerStatuses[0].state.waiting}";
      const { stdout } = await kubectl(`get pod unknown -o jsonpath=${path}`);
      return /ErrImagePull|ImagePullBackOff/.test(stdout) && stdout;
    });
    assert.match(seen, /mccutchen\/go-httpbin/);
  });

  test("resolves its own names, and nothing outside exists or can be reached", async () => {
    const curl = "exec talker -- curl -sS -m 20 -o /dev/null -w %{http_code}";
    assert.equal((await kubectl(`${curl} http://istiod.istio-system:15014/version`)).stdout, "200");
    assert.match((await kubectl(`${curl} http://example.com`)).stderr, /Could not resolve host/);
    assert.match((await kubectl(`${curl} http://192.0.2.1`)).stderr, /Failed to connect|No route to host/);
  });

  test("injects sidecars that speak mTLS", async () => {
    // With its label from the start: the API server's webhooks may not have heard of a label that came later.
    await apply({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "mesh", labels: { "istio-injection": "enabled" } },
    });
    // The port's name makes it HTTP: telling that from the connection takes Istio's own Envoy.
    const spec = { selector: { app: "httpbin" }, ports: [{ name: "http", port: 8000, targetPort: 8080 }] };
    await apply({ apiVersion: "v1", kind: "Service", metadata: { name: "httpbin", namespace: "mesh" }, spec });
    await kubectl("create deployment httpbin -n mesh --image=docker.io/mccutchen/go-httpbin --port=8080");
    await kubectl("run caller -n mesh --image=docker.io/curlimages/curl --command -- sleep 1000");
    await kubectl("wait -n mesh --for=condition=Available deployment/httpbin --timeout=60s");
    await kubectl("wait -n mesh --for=condition=Ready pod/caller --timeout=60s");
    const { stdout } = await kubectl("exec -n mesh caller -c caller -- curl -sS http://httpbin:8000/headers");
    assert.match(stdout, /X-Forwarded-Client-Cert.*\n.*spiffe:\/\/cluster\.local\/ns\/mesh\/sa\/default/);
  });

  test("refuses an invalid object by istiod's webhook", async () => {
    const gateway = { apiVersion: "networking.istio.io/v1", kind: "Gateway", metadata: { name: "bad" }, spec: {} };
    const { exitCode, stderr } = await apply(gateway);
    assert.equal(exitCode, 1);
    assert.match(stderr, /validation\.istio\.io.*at least one server/);
  });

  test("changes who fetches key sets, with one istiod left and every proxy connected to it", async () => {
    for (const jwksFetch of ["envoy", "istiod"] as const) {
      await cluster.setMesh({ jwksFetch });
      const path = "{.items[*].spec.containers[0].env[?(@.name=='PILOT_JWT_ENABLE_REMOTE_JWKS')].value}";
      const { stdout } = await kubectl(`get pods -n istio-system -l app=istiod -o jsonpath=${path}`);
      assert.equal(stdout, jwksFetch);
    }
  });

  test("gives no pod a capability over the machine, its settings or the cluster's store, with any request or replacement", async () => {
    const script = (lines: readonly string[]): string => lines.join("\n");
    const asks = {
      hostNetwork: true,
      containers: [
        {
          name: "a",
          image: "docker.io/library/nginx",
          command: ["sleep", "1000"],
          securityContext: { privileged: true, runAsUser: 0, capabilities: { add: ["ALL"] } },
        },
      ],
    };
    // What enters a container runs setpriv of the container's own: this one looks around before it goes on.
    const replaced = script([
      "#!/bin/sh",
      "[ -e /got ] || { mount -o remount,rw /proc/sys; readlink /proc/self/ns/user; (exec 9>>/proc/sys/kernel/core_pattern) && echo opened; } >/got 2>&1",
      'exec /usr/bin/setpriv.own "$@"',
    ]);
    const replaces = {
      containers: [
        {
          name: "a",
          image: "docker.io/library/nginx",
          env: [{ name: "PROGRAM", value: replaced }],
          command: [
            "sh",
            "-euc",
            'cp /usr/bin/setpriv /usr/bin/setpriv.own; printf %s "$PROGRAM" >/s; chmod +x /s; mv /s /usr/bin/setpriv; exec sleep 1000',
          ],
          readinessProbe: { periodSeconds: 1, exec: { command: ["test", "-s", "/got"] } },
        },
      ],
    };
    for (const [pod, spec] of Object.entries({ asks, replaces }))
      await apply({ apiVersion: "v1", kind: "Pod", metadata: { name: pod }, spec });
    for (const pod of ["asks", "replaces"]) {
      const { stdout } = await kubectl(`wait --for=condition=Ready pod/${pod} --timeout=60s`);
      assert.match(stdout, /condition met/);
    }
    const inside = async (pod: string, ...lines: readonly string[]): Promise<string> => {
      const { stdout, stderr } = await kubectl(`exec -i ${pod} -- sh`, script(lines));
      return `${stdout}\n${stderr}`;
    };
    const machine = await readlink("/proc/self/ns/user");
    for (const found of [
      await inside("asks", "readlink /proc/self/ns/user"),
      (await kubectl("exec replaces -- cat /got")).stdout,
    ]) {
      assert.match(found, /user:\[\d+\]/);
      assert.ok(!found.includes(machine), "it is in the machine's user namespace");
      assert.doesNotMatch(found, /opened/);
    }
    const tried = await inside(
      "asks",
      "mkdir /p",
      ...["mount -o remount,rw /proc/sys", "umount /proc/sys", "mount -o remount,rw /sys"].map(
        (each) => `${each} && echo DONE`,
      ),
      ...["proc", "sysfs", "cgroup2"].map((type) => `mount -t ${type} ${type} /p && echo DONE`),
      "unshare --mount --pid --fork mount -t proc proc /p && echo DONE",
      "unshare --net mount -t sysfs sysfs /p && echo DONE",
      "unshare --cgroup mount -t cgroup2 cgroup2 /p && echo DONE",
      "unshare --user --map-root-user --mount --pid --fork --cgroup mount -t cgroup2 cgroup2 /p && echo DONE",
      "(exec 9>>/proc/sys/kernel/core_pattern) && echo DONE",
      "ip link add x0 type dummy && echo DONE",
      "mknod /b b 8 0 && echo DONE",
      "curl -sS -m 5 http://127.0.0.1:2379/version && echo DONE",
      "curl -sS -m 5 http://127.0.0.1:2380/version && echo DONE",
      "echo end",
    );
    assert.match(tried, /^end$/m);
    assert.doesNotMatch(tried, /DONE/, tried);
    await kubectl("delete pod asks replaces --now");
  });

  test("starts from data without anything secret, and has an identity and an authority of its own", async () => {
    const components = path.join(cacheRoot(), "components");
    const made = (await readdir(components)).filter((entry) => entry.startsWith("start-data-"));
    assert.ok(made.length > 0);
    for (const entry of made)
      for (const file of await readdir(path.join(components, entry), { recursive: true, withFileTypes: true })) {
        const bytes = file.isFile() ? await readFile(path.join(file.parentPath, file.name)) : Buffer.of();
        for (const secret of ["PRIVATE KEY", "/registry/secrets/", "kubernetes.io/service-account-token"])
          assert.ok(!bytes.includes(secret), `${file.name} contains ${secret}`);
      }
    const ask = async (what: string, field: string): Promise<string> =>
      (await kubectl(`get ${what} --output=jsonpath={${field}}`)).stdout;
    const own = (await readFile(dir.jwksAuthority.certificate, "utf8")).trim();
    const inMesh = await ask("configmap pilot-jwks-extra-cacerts --namespace=istio-system", ".data.extra\\.pem");
    assert.equal(inMesh.trim(), own);
    const identity = await ask("namespace kube-system", ".metadata.creationTimestamp");
    const rest = await ask("namespace istio-system", ".metadata.creationTimestamp");
    assert.ok(identity > rest, "kube-system is this cluster's, and istio-system comes with the data");
  });

  test("leaves nothing when its supervisor is killed", async () => {
    process.kill(left.pids.supervisor, "SIGKILL");
    await assertNothingLeft(left);
    assert.deepEqual(await readdir(dir.state), [], "the state lies on the host");
    assert.equal(await stopEmbedded(name), false);
    assert.ok(!(await runDirNames()).includes(name));
  });
});

describe("a cluster that is just starting leaves nothing", () => {
  for (const victim of ["unshare", "first", "supervisor"] as const) {
    test(`when ${victim} is killed`, async () => {
      const starter = startElsewhere();
      const left = await footprint();
      process.kill(left.pids[victim], "SIGKILL");
      await assertNothingLeft(left);
      await untilSo("its starter has given up", () => Promise.resolve(!alive(starter)));
    });
  }

  test("when its starter is killed", async () => {
    const starter = startElsewhere();
    const left = await footprint();
    process.kill(starter, "SIGKILL");
    await assertNothingLeft(left);
  });

  test("when it is stopped by name, not even its folder", async () => {
    startElsewhere();
    const left = await footprint();
    assert.equal(await stopEmbedded(name), true);
    await assertNothingLeft(left);
    assert.ok(!(await runDirNames()).includes(name));
    assert.equal(await stopEmbedded(name), false);
  });

  test("when its start is interrupted", async () => {
    const interrupt = new AbortController();
    const starting = start(interrupt.signal);
    const outcome = assert.rejects(starting, { code: "ERR_INTERRUPTED" });
    const left = await footprint();
    interrupt.abort();
    await outcome;
    await assertNothingLeft(left);
    assert.ok(!(await runDirNames()).includes(name));
  });

  test("when its start is interrupted while the data that it starts from is made", async () => {
    const shared = path.join(cacheRoot(), "components");
    // Beside the cache, so that its files can be linked.
    const cache = await mkdtemp(`${cacheRoot()}-`);
    let restore: (() => void) | undefined;
    try {
      const rest = (await readdir(shared)).filter((entry) => !/^\.|^start-data-/.test(entry));
      await mkdir(path.join(cache, "components"));
      await execa("cp", ["-al", ...rest.map((entry) => path.join(shared, entry)), path.join(cache, "components")]);
      restore = useCache(cache);
      const interrupt = new AbortController();
      const lines: string[] = [];
      const starting = startEmbedded({
        name,
        keep: true,
        progress: (line) => lines.push(line),
        signal: interrupt.signal,
      });
      const outcome = assert.rejects(starting, { code: "ERR_INTERRUPTED" });
      const left = await footprint();
      interrupt.abort();
      await outcome;
      await assertNothingLeft(left);
      assert.ok(!(await runDirNames()).includes(name));
      assert.match(lines.join("\n"), /building start-data/);
      assert.ok(!lines.includes("Starting Kubernetes"));
      assert.deepEqual(
        (await readdir(path.join(cache, "components"))).filter((entry) => /start-data/.test(entry)),
        [],
      );
    } finally {
      restore?.();
      await rm(cache, { recursive: true, force: true });
    }
  });

  test("when a program of its control plane ends, and the message names it with its last lines", async () => {
    const outcome = assert.rejects(start(), (error: Error & { code?: string; hint?: string }) => {
      assert.equal(error.code, "ERR_CLUSTER_START");
      assert.match(error.message, /etcd ended by itself \(SIGKILL\)/);
      assert.match(error.hint ?? "", /logs/);
      return true;
    });
    const left = await footprint();
    const etcd = await untilSo("etcd runs", async () => (await memberNamed("/etcd", left)) ?? false);
    process.kill(etcd, "SIGKILL");
    await outcome;
    await assertNothingLeft(left);
  });
});

async function memberNamed(suffix: string, { namespaces }: Footprint): Promise<number | undefined> {
  for (const pid of await readdir("/proc")) {
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    const namespace = await readlink(`/proc/${pid}/ns/pid`).catch(() => "");
    if (command.split("\0")[0]?.endsWith(suffix) && namespaces.includes(namespace)) return Number(pid);
  }
  return undefined;
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
