import { Option } from "commander";
import { MeshproofError } from "../../harness/model/errors.ts";
import type { Explanation } from "../../harness/model/explanation.ts";
import { secondsNow } from "../../harness/model/seconds.ts";
import { explainRequest, judgeIn, type OracleRequest } from "../../harness/oracle/index.ts";
import { ofFile, readUserFile } from "../../harness/user-file.ts";
import type { Kube } from "../../harness/mesh/client.ts";
import { formatExplanation } from "../../reports/explanation.ts";
import { makerOf } from "../cluster.ts";
import { MADE_KINDS, type MadeKind } from "../context.ts";
import { work } from "../work.ts";
import { print, printOutput } from "../streams.ts";
import { collect, finish, option, verb } from "../options.ts";
import { hasProxyContainer } from "../../harness/mesh/proxy-container.ts";

export const command = verb("explain", [
  "explain --config-dump dump.json --request 'GET /headers' --token @token.jwt --peer cluster.local/ns/foo/sa/sleep",
  "explain --config-dump dump.json --request 'GET http://httpbin.foo:8000/headers' --claims '{\"iss\":\"me\"}' --json",
  "explain --pod foo/httpbin-b6b6cd8c5-bh9dh --request 'GET /headers'",
])
  .option("--config-dump <file>", "a saved /config_dump of the proxy")
  .option("--pod <namespace/name>", "ask this pod's proxy instead")
  .requiredOption("--request <request>", "METHOD and path, or METHOD and URL where a policy looks at the host")
  .option("--header <line>", "a header, 'name: value'; repeat it for more", collect, [])
  .option("--token <token>", "the token in Authorization, or @FILE that holds it")
  .option("--claims <json>", "the token's claims instead, without verifying a signature")
  .option("--port <number>", "the workload's port, or the gateway's; default the only one", Number)
  .option("--peer <principal>", "who asks, by mTLS; without it the connection is plain text")
  .option("--source-ip <address>", "where the connection comes from")
  .option("--destination-ip <address>", "the address that was asked")
  .option("--sni <name>", "the server name of the TLS handshake")
  .addOption(
    new Option("--cluster <kind>", "where the pod is").choices([...MADE_KINDS, "existing"]).default("embedded"),
  )
  .addOption(option.name())
  .addOption(option.kubeconfig())
  .addOption(option.context())
  .addOption(option.allowExec())
  .addOption(option.json())
  .action(async (options) => finish(explainVerb(options)));

/** Printed because a decision by config is not an answer of the mesh. */
const NOT_ASKED = "No request was sent: this is how meshproof reads the proxy's config.";

interface ExplainOptions {
  readonly configDump?: string;
  readonly request: string;
  readonly header: readonly string[];
  readonly token?: string;
  readonly claims?: string;
  readonly port?: number;
  readonly peer?: string;
  readonly sourceIp?: string;
  readonly destinationIp?: string;
  readonly sni?: string;
  readonly json?: boolean;
  readonly pod?: string;
  readonly cluster: MadeKind | "existing";
  readonly name: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly allowExec: readonly string[];
}

export async function explainVerb(options: ExplainOptions): Promise<number> {
  return work(async ({ clear }) => {
    const explanation = await explainConfig(options);
    clear();
    if (options.json === true) printOutput("explain", { ...explanation, text: formatExplanation(explanation) });
    else print(`${formatExplanation(explanation)}\n\n${NOT_ASKED}`);
    return 0;
  });
}

/** @throws MeshproofError ERR_USAGE for an invalid request or config dump */
export async function explainConfig(options: ExplainOptions): Promise<Explanation> {
  const request = await readRequest(options);
  const dump = await readDump(options);
  const explanation = ofFile(options.configDump ?? `the config of ${options.pod ?? ""}`, () =>
    explainRequest(dump, request, secondsNow()),
  );
  const at = judgeIn(dump);
  const goesOn = at?.kind === "gateway" && explanation.decision.verdict === "admitted";
  return { ...explanation, ...(at && { at }), ...(goesOn && { beyond: "not-known" }) };
}

/** @throws MeshproofError ERR_USAGE for an invalid request */
async function readRequest(options: ExplainOptions): Promise<OracleRequest> {
  const [, method, authority, path] = /^([A-Z]+) (?:https?:\/\/([^/?#]+))?(\/\S*)$/.exec(options.request) ?? [];
  if (method === undefined || path === undefined)
    throw usage(`--request takes "METHOD /path" or "METHOD http://host/path", not "${options.request}"`);
  if (options.token !== undefined && options.claims !== undefined)
    throw usage("--token and --claims exclude each other");
  const headers = options.header.map((line): readonly [string, string] => {
    const [, name, value] = /^([^:\s]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw usage("--header takes 'name: value'");
    return [name, value];
  });
  const token = options.token?.startsWith("@") ? await readText(options.token.slice(1), "token") : options.token;
  const claims = options.claims === undefined ? undefined : parseClaims(options.claims);
  return {
    method,
    path,
    headers: [...headers, ...(token === undefined ? [] : [["Authorization", `Bearer ${token.trim()}`] as const])],
    ...(authority === undefined ? {} : { authority }),
    ...(claims === undefined ? {} : { claims }),
    ...(options.peer === undefined ? {} : { peer: options.peer }),
    ...(options.sourceIp === undefined ? {} : { sourceIp: options.sourceIp }),
    ...(options.destinationIp === undefined ? {} : { destinationIp: options.destinationIp }),
    ...(options.sni === undefined ? {} : { serverName: options.sni }),
    ...(options.port === undefined ? {} : { port: options.port }),
  };
}

/** Reads the dump from a file, or from a pod's proxy. */
async function readDump(options: ExplainOptions): Promise<unknown> {
  if ((options.configDump === undefined) === (options.pod === undefined))
    throw usage("name either a saved config dump (--config-dump) or a pod (--pod)");
  if (options.configDump !== undefined) {
    const text = await readText(options.configDump, "config dump");
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new MeshproofError("ERR_USAGE", `the config dump ${options.configDump} is not JSON`, {
        hint: "save one: pilot-agent request GET config_dump > dump.json, in the container istio-proxy",
        cause,
      });
    }
  }
  const [, namespace, pod] = /^([^/]+)\/([^/]+)$/.exec(options.pod ?? "") ?? [];
  if (namespace === undefined || pod === undefined) throw usage("--pod takes NAMESPACE/NAME");
  const [kube, { dumpRequestConfig }] = await Promise.all([
    connectTo(options),
    import("../../harness/mesh/proxy-dump.ts"),
  ]);
  return await dumpRequestConfig(kube, { namespace, pod: await findProxyPod(kube, namespace, pod) });
}

/**
 * Finds the pod of this name, or the only one whose name starts with it (such as the name of a Deployment).
 * @throws MeshproofError ERR_USAGE with the pods that have a proxy
 */
export async function findProxyPod(kube: Pick<Kube, "core">, namespace: string, name: string): Promise<string> {
  const { items } = await kube.core.listNamespacedPod({ namespace });
  const pods = items.filter(hasProxyContainer).flatMap(({ metadata }) => metadata?.name ?? []);
  if (pods.includes(name)) return name;
  const [first, ...others] = pods.filter((pod) => pod.startsWith(`${name}-`));
  if (first !== undefined && others.length === 0) return first;
  const exists = items.some(({ metadata }) => metadata?.name === name);
  throw new MeshproofError(
    "ERR_USAGE",
    exists
      ? `the pod ${namespace}/${name} has no container istio-proxy`
      : first === undefined
        ? `the namespace ${namespace} has no pod ${name} with a container istio-proxy`
        : `the namespace ${namespace} has several pods whose name begins with ${name}`,
    { hint: pods.length === 0 ? `no pod in ${namespace} has one` : `choose one of ${pods.sort().join(", ")}` },
  );
}

async function connectTo(options: ExplainOptions): Promise<Kube> {
  const { connect, connectWith } = await import("../../harness/mesh/client.ts");
  if (options.cluster === "existing") {
    const { pinContext } = await import("../../clusters/existing/kubeconfig.ts");
    return connectWith(pinContext(options).config);
  }
  const cluster = await (await makerOf(options.cluster)).attach(options.name);
  if (cluster === undefined)
    throw new MeshproofError("ERR_CLUSTER_UNREACHABLE", `no cluster named "${options.name}" is running`, {
      hint: "start one (meshproof up), or explain a saved dump with --config-dump",
    });
  return connect(cluster.kubeconfig);
}

async function readText(file: string, what: string): Promise<string> {
  return await readUserFile(file, { what: `the ${what}` });
}

function parseClaims(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // reported below
  }
  throw usage("--claims takes a JSON object");
}

function usage(message: string): MeshproofError {
  return new MeshproofError("ERR_USAGE", message, { hint: "meshproof explain --help shows examples" });
}
