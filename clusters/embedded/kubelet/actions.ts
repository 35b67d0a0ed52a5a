import { request as httpRequest } from "node:http";
import { connect as http2Connect } from "node:http2";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { V1Container, V1HTTPGetAction, V1LifecycleHandler, V1Probe } from "@kubernetes/client-node";
import { tryTool } from "./tools.ts";

export interface ActionResult {
  readonly ok: boolean;
  readonly message: string;
}

/** What a probe or a lifecycle hook acts on. */
export interface ActionTarget {
  readonly podIp: string;
  readonly container: V1Container;
  enter(command: readonly string[]): readonly string[];
}

/** Runs the action of a probe or hook; only hooks have `sleep`, only probes `grpc`. Never throws. */
export async function runAction(
  action: V1Probe | V1LifecycleHandler,
  target: ActionTarget,
  timeoutMs: number | undefined,
  signal: AbortSignal,
): Promise<ActionResult> {
  const limit = timeoutMs === undefined ? signal : AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  try {
    if (action.exec) {
      const { code, output } = await tryTool(target.enter(action.exec.command ?? []), { signal: limit });
      return { ok: code === 0, message: output.trim() || `command exited with ${code}` };
    }
    if (action.httpGet) return await httpGet(action.httpGet, target, limit);
    if (action.tcpSocket)
      return await tcpConnect(
        action.tcpSocket.host ?? target.podIp,
        portOf(action.tcpSocket.port, target.container),
        limit,
      );
    if ("grpc" in action && action.grpc)
      return await grpcCheck(target.podIp, action.grpc.port, action.grpc.service ?? "", limit);
    if ("sleep" in action && action.sleep) {
      await delay(action.sleep.seconds * 1000, undefined, { signal: limit });
      return { ok: true, message: "" };
    }
    return { ok: false, message: "no action is declared" };
  } catch (error) {
    const late = limit.aborted && !signal.aborted;
    return { ok: false, message: late ? `timed out after ${(timeoutMs ?? 0) / 1000}s` : (error as Error).message };
  }
}

/** A port by number or by the container's name for it. */
function portOf(port: string | number, container: V1Container): number {
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  const number = named ?? Number(port);
  if (!(number > 0 && number < 65536)) throw new Error(`couldn't find port: ${port}`);
  return number;
}

function httpGet(action: V1HTTPGetAction, target: ActionTarget, signal: AbortSignal): Promise<ActionResult> {
  const secure = action.scheme === "HTTPS";
  const host = action.host || target.podIp;
  const port = portOf(action.port, target.container);
  const headers: Record<string, string | string[]> = {
    "user-agent": "kube-probe/1.36",
    accept: "*/*",
    connection: "close",
  };
  for (const { name, value } of action.httpHeaders ?? []) {
    const key = name.toLowerCase();
    const old = headers[key];
    headers[key] = old === undefined || key in { "user-agent": 0, accept: 0 } ? value : [old, value].flat();
  }
  return new Promise((resolve, reject) => {
    const call = (secure ? httpsRequest : httpRequest)(
      // A probe does not authenticate the process (Kubernetes: the kubelet skips certificate verification).
      { host, port, path: action.path ?? "/", headers, agent: false, signal, rejectUnauthorized: false },
      (response) => {
        response.resume();
        const status = response.statusCode ?? 0;
        resolve({ ok: status >= 200 && status < 400, message: `HTTP probe failed with statuscode: ${status}` });
      },
    );
    call.on("error", reject);
    call.end();
  });
}

function tcpConnect(host: string, port: number, signal: AbortSignal): Promise<ActionResult> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, signal }, () => {
      socket.destroy();
      resolve({ ok: true, message: "" });
    });
    socket.on("error", reject);
  });
}

/** grpc.health.v1.Health/Check; SERVING is 1 in field 1 of the answer. */
function grpcCheck(host: string, port: number, service: string, signal: AbortSignal): Promise<ActionResult> {
  const name = Buffer.from(service);
  const message = name.length ? Buffer.concat([Buffer.from([0x0a, name.length]), name]) : name;
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return new Promise((resolve, reject) => {
    const session = http2Connect(`http://${host}:${port}`);
    const finish = (result: ActionResult | Error): void => {
      session.destroy();
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    signal.addEventListener("abort", () => finish(new Error("aborted")), { once: true });
    session.on("error", finish);
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
    });
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", finish);
    stream.on("end", () => {
      const answer = Buffer.concat(chunks).subarray(5);
      const serving = answer[0] === 8 && answer[1] === 1;
      finish({ ok: serving, message: "service unhealthy" });
    });
    stream.end(Buffer.concat([head, message]));
  });
}
