/** For tests only: one Envoy without a mesh, with one listener per tested config. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import path from "node:path";
import { makeTempDir } from "../clusters/temp-dir.ts";

/** Fields of the HTTP connection manager, with the `http_filters` before the router. */
export type Manager = Readonly<Record<string, unknown>>;

export interface LabAnswer {
  /** 0: no HTTP answer. */
  readonly status: number;
  /** Envoy's response code details; undefined if the codec refused the request, or the answer has no body. */
  readonly details?: string;
  /** The path at the router. */
  readonly path?: string;
}

export interface Lab {
  /** A `config_dump` with the bootstrap and the dynamic listener of `managers[i]`. */
  dump(i: number): unknown;
  /** Sends a raw request head to the listener of `managers[i]`. */
  send(i: number, head: string): Promise<LabAnswer>;
  stop(): Promise<void>;
}

interface Dump {
  readonly configs: readonly {
    readonly "@type": string;
    readonly static_listeners?: readonly { readonly listener: { readonly name: string } }[];
  }[];
}

interface Statuses {
  readonly listener_statuses?: readonly {
    readonly name: string;
    readonly local_address: { readonly socket_address: { readonly port_value: number } };
  }[];
}

const FILTERS = "type.googleapis.com/envoy.extensions.filters";
const ADDRESS = { socket_address: { address: "127.0.0.1", port_value: 0 } };
const EVERYTHING = {
  name: "everything",
  virtual_hosts: [
    { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, direct_response: { status: 200 } }] },
  ],
};

/**
 * Starts Envoy and waits until each listener has its port.
 * @param program Envoy's path
 * @param runtime flags of the bootstrap
 */
export async function startLab(
  program: string,
  managers: readonly Manager[],
  runtime: Readonly<Record<string, unknown>>,
): Promise<Lab> {
  const folder = makeTempDir();
  const bootstrap = {
    admin: { address: ADDRESS },
    layered_runtime: { layers: [{ name: "global config", static_layer: runtime }] },
    static_resources: { listeners: managers.map(listenerOf) },
  };
  await writeFile(path.join(folder, "envoy.json"), JSON.stringify(bootstrap));
  const admin = path.join(folder, "admin");
  const args = ["-c", "envoy.json", "--concurrency", "1", "--use-dynamic-base-id", "--admin-address-path", admin];
  const child = spawn(program, [...args, "-l", "warning"], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const until = async <T>(what: string, ask: () => Promise<T | undefined>): Promise<T> => {
    for (;;) {
      const found = await ask().catch(() => undefined);
      if (found !== undefined) return found;
      if (child.exitCode !== null) throw new Error(`Envoy has no ${what}: ${said}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const host = await until("admin address", async () => (await readFile(admin, "utf8")) || undefined);
  const ask = async (what: string): Promise<unknown> => await (await fetch(`http://${host}/${what}`)).json();
  const ports = await until("listeners", async () => {
    const { listener_statuses: all } = (await ask("listeners?format=json")) as Statuses;
    if (all?.length !== managers.length) return undefined;
    return new Map(all.map((one) => [one.name, one.local_address.socket_address.port_value]));
  });
  const { configs } = (await ask("config_dump")) as Dump;
  return {
    dump: (i) => {
      const one = configs
        .flatMap((config) => config.static_listeners ?? [])
        .find(({ listener }) => listener.name === `lab-${i}`);
      return {
        configs: [
          ...configs.filter((config) => config["@type"].endsWith(".BootstrapConfigDump")),
          { dynamic_listeners: [{ active_state: { listener: one?.listener } }] },
        ],
      };
    },
    send: async (i, head) => await sendTo(ports.get(`lab-${i}`) ?? 0, head),
    stop: async () => {
      const gone = once(child, "exit");
      child.kill();
      await gone;
      await rm(folder, { recursive: true });
    },
  };
}

function listenerOf(manager: Manager, i: number): unknown {
  const router = { name: "envoy.filters.http.router", typed_config: { "@type": `${FILTERS}.http.router.v3.Router` } };
  const typed_config = {
    "@type": `${FILTERS}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: `lab-${i}`,
    route_config: EVERYTHING,
    // Envoy adds the reason to its own answers; here all answers are its own, those of routes too.
    local_reply_config: {
      body_format: { json_format: { details: "%RESPONSE_CODE_DETAILS%", path: "%REQ(:PATH)%" } },
    },
    ...manager,
    http_filters: [...((manager["http_filters"] as readonly unknown[] | undefined) ?? []), router],
  };
  return {
    name: `lab-${i}`,
    address: ADDRESS,
    filter_chains: [{ filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config }] }],
  };
}

async function sendTo(port: number, head: string): Promise<LabAnswer> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk)).on("error", () => undefined);
  const closed = once(socket, "close");
  socket.write(head, "latin1");
  await closed;
  const text = Buffer.concat(chunks).toString("latin1");
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  const status = Number(/^HTTP\/1\.[01] (\d+)/.exec(text)?.[1] ?? 0);
  return { status, ...(body.startsWith("{") ? (JSON.parse(body) as { details: string; path: string }) : {}) };
}
