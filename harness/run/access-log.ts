import { StringDecoder } from "node:string_decoder";
import { messageOf, statusOf } from "../mesh/api-error.ts";
import type { Kube } from "../mesh/client.ts";
import { followLog } from "../mesh/exec.ts";
import type { LogGap, PodRef } from "../model/finding.ts";
import type { Logged } from "../verdict/index.ts";
import type { Proxy } from "./places.ts";

/**
 * What the judging proxies write about this run's requests, read as it is written: a container's log is kept for a while
 * only. The proxies of a request are remembered when it is sent, since its Service or pod may be gone when it is judged.
 */
export interface AccessLog {
  /** Follows the logs of these proxies from now on. */
  follow(proxies: readonly Proxy[]): void;
  /** Remembers which proxies write about a request, one of them a line. Before it is looked for. */
  expect(userAgent: string, proxies: readonly Proxy[]): void;
  /** @param proxies whose lines count; by default those that write about the request */
  find(userAgent: string, proxies?: readonly Proxy[]): Logged;
  /** Waits until each of these requests has its line, or will have none, or until the limit: by default until Envoy must have written. */
  wait(userAgents: readonly string[], limitMs?: number): Promise<void>;
  /** Drops what was written about requests that begin like this. */
  drop(prefix: string): void;
  close(): void;
}

/** Envoy writes its access log each second under pilot-agent (`--file-flush-interval-msec 1000`): after this its last lines are there. */
export const FLUSHED_MS = 2_500;

/** Follows one proxy's log until it ends. @throws what keeps it from being read */
export type Follow = (
  proxy: Proxy,
  options: { readonly sinceSeconds: number; readonly signal: AbortSignal; readonly onOpen: () => void },
  onChunk: (chunk: Buffer) => void,
) => Promise<void>;

/** What is written just before a log is opened must be in it. */
const SLACK_S = 10;
/** The first and the longest pause before a log that ended is opened again. */
const PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2_000;

interface Followed {
  readonly details: Map<string, string>;
  /** Why it cannot be read at the moment. */
  problem?: string;
  /** No more lines will come. */
  ended: boolean;
}

export function followWith(kube: Kube): Follow {
  return async ({ namespace, pod }, options, onChunk) =>
    followLog(kube, { namespace, pod, container: "istio-proxy" }, options, onChunk);
}

/** @param runId lines of other runs are not kept */
export function openAccessLog(runId: string, follow: Follow): AccessLog {
  const logs = new Map<string, Followed>();
  const expected = new Map<string, readonly Proxy[]>();
  const closing = new AbortController();
  let told = Promise.withResolvers<void>();
  const tell = (): void => {
    told.resolve();
    told = Promise.withResolvers();
  };
  const mark = `meshproof/${runId}/`;

  const read = async (proxy: Proxy, log: Followed): Promise<void> => {
    let lastOpenAt = performance.now();
    for (let pause = PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      const lines = startLines((line) => {
        const entry = parseLine(line, mark);
        if (entry) log.details.set(entry.userAgent, entry.details);
      });
      const sinceSeconds = Math.ceil((performance.now() - lastOpenAt) / 1000) + SLACK_S;
      const onOpen = (): void => {
        delete log.problem;
        pause = PAUSE_MS;
      };
      try {
        await follow(proxy, { sinceSeconds, signal: closing.signal, onOpen }, (chunk) => {
          lines(chunk);
          lastOpenAt = performance.now();
          tell();
        });
      } catch (error) {
        log.problem = messageOf(error);
        // Neither a pod that is gone comes back, nor a right that is not there.
        log.ended = statusOf(error) === 404 || statusOf(error) === 403;
      }
      log.ended ||= closing.signal.aborted;
      tell();
      if (log.ended) return;
      await pauseFor(pause, closing.signal);
    }
  };

  const find = (userAgent: string, proxies = expected.get(userAgent) ?? []): Logged => {
    for (const proxy of proxies) {
      const details = logs.get(keyOf(proxy))?.details.get(userAgent);
      if (details !== undefined) return { details };
    }
    if (proxies.length === 0) return { missing: [{ kind: "no-proxy" }] };
    const unread = proxies.flatMap((proxy): LogGap[] => {
      const problem = logs.get(keyOf(proxy))?.problem;
      return problem === undefined ? [] : [{ kind: "unreadable", proxy: podOf(proxy), error: problem }];
    });
    return { missing: unread.length > 0 ? unread : [{ kind: "no-line", proxies: proxies.map(podOf) }] };
  };
  const isOpen = (userAgent: string): boolean =>
    "missing" in find(userAgent) &&
    (expected.get(userAgent) ?? []).some((proxy) => logs.get(keyOf(proxy))?.ended === false);

  return {
    follow(proxies) {
      for (const proxy of proxies) {
        if (logs.get(keyOf(proxy))?.ended === false) continue;
        const log: Followed = { details: logs.get(keyOf(proxy))?.details ?? new Map<string, string>(), ended: false };
        logs.set(keyOf(proxy), log);
        void read(proxy, log);
      }
    },
    expect(userAgent, proxies) {
      expected.set(userAgent, proxies);
    },
    find,
    async wait(userAgents, limitMs = FLUSHED_MS) {
      let over = false;
      const timer = setTimeout(() => {
        over = true;
        tell();
      }, limitMs);
      try {
        while (!over && !closing.signal.aborted && userAgents.some(isOpen)) await told.promise;
      } finally {
        clearTimeout(timer);
      }
    },
    drop(prefix) {
      for (const map of [expected, ...[...logs.values()].map(({ details }) => details)])
        for (const userAgent of map.keys()) if (userAgent.startsWith(prefix)) map.delete(userAgent);
    },
    close() {
      closing.abort();
      tell();
    },
  };
}

function podOf({ namespace, pod }: Proxy): PodRef {
  return { namespace, pod };
}

function keyOf({ namespace, pod }: Proxy): string {
  return `${namespace}/${pod}`;
}

async function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** Calls back for each whole line. */
function startLines(onLine: (line: string) => void): (chunk: Buffer) => void {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  return (chunk) => {
    const lines = (rest + decoder.write(chunk)).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
  };
}

/** A line of Istio's JSON access log (meshConfig.accessLogEncoding: JSON) about a request of this run that was judged. */
function parseLine(line: string, mark: string): { userAgent: string; details: string } | undefined {
  if (!line.startsWith("{") || !line.includes(mark)) return undefined;
  try {
    const { user_agent: userAgent, response_code_details: details } = JSON.parse(line) as Record<string, unknown>;
    if (typeof userAgent !== "string" || typeof details !== "string" || !userAgent.startsWith(mark)) return undefined;
    // Round 0 only flushes pooled connections, many requests of one name.
    return userAgent.endsWith("/0") ? undefined : { userAgent, details };
  } catch {
    return undefined;
  }
}
