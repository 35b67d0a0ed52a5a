import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Container, V1Pod, V1Service } from "@kubernetes/client-node";
import { buildEnv, commandLine, ContainerConfigError, type EnvSources, expand, serviceEnv } from "./env.ts";
import type { PodFacts } from "./fields.ts";

const pod: V1Pod = {
  metadata: { name: "p", namespace: "foo", labels: { b: "2", a: 'q"1' }, annotations: { "x/y": "z" } },
  spec: { serviceAccountName: "sa", containers: [] },
};
const facts: PodFacts = {
  podIp: "10.244.0.7",
  hostIp: "10.244.0.1",
  nodeName: "node",
  allocatable: { cpu: 2, memory: 2 ** 31 },
};
const sources: EnvSources = {
  configMap: (name) => (name === "cm" ? { data: { one: "1", two: "2" } } : name === "empty" ? {} : undefined),
  secret: (name) => (name === "s" ? { data: { key: Buffer.from("hidden").toString("base64") } } : undefined),
};
const envOf = (container: Partial<V1Container>): Record<string, string> =>
  buildEnv(pod, { name: "c", ...container }, facts, sources, { FROM_SERVICE: "svc" });

test("$(NAME) is replaced where it is known, $$ is a dollar sign, the rest stays", () => {
  const env = { A: "x", EMPTY: "" };
  for (const [text, expected] of [
    ["$(A)", "x"],
    ["a$(A)b$(A)", "axbx"],
    ["$(B)", "$(B)"],
    ["$$(A)", "$(A)"],
    ["$$$(A)", "$x"],
    ["$(EMPTY)!", "!"],
    ["$A $", "$A $"],
    ["$(A", "$(A"],
  ] as const)
    assert.equal(expand(text, env), expected, text);
});

test("later variables win and may use earlier ones, also those of services", () => {
  assert.deepEqual(
    envOf({
      envFrom: [{ prefix: "CM_", configMapRef: { name: "cm" } }, { secretRef: { name: "s" } }],
      env: [
        { name: "CM_one", value: "own" },
        { name: "USES", value: "$(CM_one)-$(FROM_SERVICE)-$(LATER)" },
        { name: "LATER", value: "l" },
      ],
    }),
    { FROM_SERVICE: "svc", CM_one: "own", CM_two: "2", key: "hidden", USES: "own-svc-$(LATER)", LATER: "l" },
  );
});

test("fields of the pod and resources of its containers", () => {
  const field = (name: string, fieldPath: string): NonNullable<V1Container["env"]>[number] => ({
    name,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const resource = (name: string, what: string, divisor?: string): NonNullable<V1Container["env"]>[number] => ({
    name,
    valueFrom: { resourceFieldRef: { resource: what, ...(divisor ? { divisor } : {}) } },
  });
  const env = envOf({
    resources: { limits: { cpu: "1500m" }, requests: { memory: "64Mi" } },
    env: [
      field("NAME", "metadata.name"),
      field("IP", "status.podIP"),
      field("SA", "spec.serviceAccountName"),
      field("LABEL", "metadata.labels['b']"),
      field("NOTE", "metadata.annotations['x/y']"),
      field("LABELS", "metadata.labels"),
      resource("CPU", "limits.cpu"),
      resource("MILLI", "limits.cpu", "1m"),
      resource("NODE_MEMORY", "limits.memory", "1Mi"),
      resource("REQUEST", "requests.memory"),
      resource("REQUEST_BY_LIMIT", "requests.cpu", "1m"),
    ],
  });
  delete env["FROM_SERVICE"];
  assert.deepEqual(env, {
    NAME: "p",
    IP: "10.244.0.7",
    SA: "sa",
    LABEL: "2",
    NOTE: "z",
    LABELS: 'a="q\\"1"\nb="2"',
    CPU: "2",
    MILLI: "1500",
    NODE_MEMORY: "2048",
    REQUEST: String(64 * 2 ** 20),
    REQUEST_BY_LIMIT: "1500",
  });
});

test("a missing object or key is an error with the kubelet's message, unless it is optional", () => {
  const refuses = (container: Partial<V1Container>, message: string): void =>
    assert.throws(() => envOf(container), new ContainerConfigError(message));
  const key = (name: string, optional?: boolean) => ({ name, key: "nope", ...(optional ? { optional } : {}) });
  refuses({ env: [{ name: "A", valueFrom: { configMapKeyRef: key("gone") } }] }, 'configmap "gone" not found');
  refuses({ env: [{ name: "A", valueFrom: { secretKeyRef: key("s") } }] }, "couldn't find key nope in Secret foo/s");
  refuses(
    { env: [{ name: "A", valueFrom: { configMapKeyRef: key("empty") } }] },
    "couldn't find key nope in ConfigMap foo/empty",
  );
  refuses({ envFrom: [{ secretRef: { name: "gone" } }] }, 'secret "gone" not found');
  assert.deepEqual(
    envOf({
      envFrom: [{ configMapRef: { name: "gone", optional: true } }],
      env: [{ name: "A", valueFrom: { secretKeyRef: key("gone", true) } }],
    }),
    { FROM_SERVICE: "svc" },
  );
});

test("services of the namespace, and always the API server's", () => {
  const service = (namespace: string, name: string, clusterIP: string, ports: [string, number][]): V1Service => ({
    metadata: { namespace, name },
    spec: { clusterIP, ports: ports.map(([portName, port]) => ({ name: portName, port, protocol: "TCP" })) },
  });
  const services = [
    service("default", "kubernetes", "10.96.0.1", [["https", 443]]),
    service("foo", "http-bin", "10.96.0.9", [
      ["http", 8000],
      ["admin-x", 9000],
    ]),
    service("foo", "headless", "None", [["http", 80]]),
    service("bar", "other", "10.96.0.10", [["http", 80]]),
  ];
  const env = serviceEnv(services, "foo", true);
  assert.equal(env["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
  assert.equal(env["HTTP_BIN_SERVICE_PORT"], "8000");
  assert.equal(env["HTTP_BIN_SERVICE_PORT_ADMIN_X"], "9000");
  assert.equal(env["HTTP_BIN_PORT_9000_TCP"], "tcp://10.96.0.9:9000");
  assert.deepEqual(
    Object.keys(env).filter((name) => /OTHER|HEADLESS/.test(name)),
    [],
  );
  assert.deepEqual(
    Object.keys(serviceEnv(services, "foo", false)).filter((name) => !name.startsWith("KUBERNETES")),
    [],
  );
});

test("command and args replace the image's entry point and arguments as Kubernetes does", () => {
  const image = { entrypoint: ["/entry"], cmd: ["default"] };
  const env = { A: "x" };
  assert.deepEqual(commandLine({}, image, env), ["/entry", "default"]);
  assert.deepEqual(commandLine({ args: ["$(A)"] }, image, env), ["/entry", "x"]);
  assert.deepEqual(commandLine({ command: ["run", "$$(A)"] }, image, env), ["run", "$(A)"]);
  assert.deepEqual(commandLine({ command: ["run"], args: ["a"] }, image, env), ["run", "a"]);
  assert.throws(() => commandLine({}, { entrypoint: [], cmd: [] }, env), /no command specified/);
});
