/** Finds who fetched keys from a JWKS server during a step: from the server's own log, between two requests of meshproof. */

import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import { MeshproofError } from "../model/errors.ts";
import type { ContainerRef } from "../mesh/exec.ts";
import { inLanes } from "../lanes.ts";
import type { AskedResult } from "../model/result.ts";
import type { StepSpec } from "../model/scenario.ts";
import { explainedBy } from "../verdict/index.ts";
import type { Change } from "./changes.ts";
import { jwksUrisOf } from "./fresh-keys.ts";
import type { Places } from "./places.ts";
import { sendRound, type Curl } from "./round.ts";

/** How long a JWKS server may leave a mark unanswered. */
const MARK_LIMIT_MS = 10_000;

/** How often its log is read, 50 ms apart, until it shows a request that was answered. */
const LOG_TRIES = 100;

/** What asking takes of a session. */
export interface KeyServerMesh extends Pick<Places, "place"> {
  readonly handle: Pick<ClusterHandle, "namespace">;
  readonly curl: Curl;
  server(name: string): Promise<ContainerRef & { readonly ip: string }>;
  log(where: ContainerRef, since: Date): Promise<string>;
}

/** Meshproof's own request in a JWKS server's log, by server: the lines between two marks belong to the step. */
type Marks = ReadonlyMap<string, string>;

type Asking = Pick<StepSpec, "asked" | "checks">;

export async function markServers(mesh: KeyServerMesh, step: Asking): Promise<Marks> {
  const marks = new Map<string, string>();
  for (const { server } of step.asked) marks.set(server, await mark(mesh, server, step));
  return marks;
}

/**
 * @param marks of the step's beginning
 * @param changes what the step changed: if it applied anything, only the URIs that it named count for somebody who asks. A proxy asks
 * again for those of an earlier step, too, with each of its workers.
 */
export async function judgeAsked(
  mesh: KeyServerMesh,
  step: Asking,
  marks: Marks,
  changes: readonly Pick<Change, "verb" | "manifest">[],
): Promise<AskedResult[]> {
  const named = urisOf(changes);
  return await inLanes(step.asked, async ({ position, server, by }): Promise<AskedResult> => {
    const lines = await linesSince(mesh, step, server, marks.get(server) ?? "");
    const counted = by === "nobody" || named === undefined ? lines : lines.filter(({ uri }) => named.has(uri));
    const got = [...new Set(counted.map(askerOf))];
    const agrees = by === "nobody" ? got.length === 0 : got.length === 1 && got[0] === by;
    return {
      position,
      server,
      expected: by,
      got,
      ...(agrees
        ? { status: "passed" }
        : { status: "failed", ...explainedBy([{ kind: "unexpected-askers", server, expected: by, got }]) }),
    };
  });
}

/** @returns the unguessable path that was asked for. */
async function mark(mesh: KeyServerMesh, server: string, { checks: [check] }: Asking): Promise<string> {
  if (!check)
    throw new MeshproofError(
      "ERR_SCENARIO_INVALID",
      "a step with `asked` needs a check, whose place reads the server's log",
    );
  const place = await mesh.place(check.request.from);
  const { ip } = await mesh.server(server);
  const host = server === "outside-host" ? ip : `${server}.${mesh.handle.namespace}`;
  const path = `/mark/${randomBytes(8).toString("hex")}`;
  const request = {
    ...{ method: "GET", url: `http://${host}${path}`, closes: true },
    headers: [["User-Agent", "meshproof/mark"]] as const,
  };
  // A proxy on the way may answer 503 for a moment, for a kept-alive connection that has just ended: a mark is not a verdict.
  const until = performance.now() + MARK_LIMIT_MS;
  for (;;) {
    const [answer] = await sendRound(mesh.curl, [{ place, request }]);
    if (answer?.status === 404) return path;
    if (performance.now() > until) {
      const said = answer?.error ?? `status ${answer?.status} ${answer?.body.toString("utf8").slice(0, 200)}`.trim();
      throw new MeshproofError(
        "ERR_PROBE",
        `the JWKS server ${server} does not answer ${host}${path} from ${place.workload} for ${MARK_LIMIT_MS / 1000} s: ${said}`,
        { hint: `is its pod ready, and does a policy of the scenario forbid ${place.workload} to ask it?` },
      );
    }
    await delay(50);
  }
}

/** The server's access log writes one JSON object a line (scenarios/workloads). */
interface LogLine {
  readonly uri: string;
  readonly user_agent: string;
}

/** The paths and queries of the jwksUris that a step applied; nothing if it applied nothing. */
function urisOf(changes: readonly Pick<Change, "verb" | "manifest">[]): ReadonlySet<string> | undefined {
  const applied = changes.filter(({ verb }) => verb === "apply");
  if (applied.length === 0) return undefined;
  const uris = applied.flatMap(({ manifest }) => jwksUrisOf(manifest));
  return new Set(uris.map((uri) => uri.replace(/^https?:\/\/[^/?]*/, "")));
}

/** @param from the mark of the step's beginning */
async function linesSince(mesh: KeyServerMesh, step: Asking, server: string, from: string): Promise<LogLine[]> {
  const to = await mark(mesh, server, step);
  const where = await mesh.server(server);
  let lines: LogLine[] = [];
  // The log passes through the kubelet: the second mark has been answered, so it will be there in a moment.
  for (let tries = 0; !lines.some((line) => line.uri === to); tries++) {
    if (tries === LOG_TRIES)
      throw new MeshproofError("ERR_PROBE", `the log of ${server} does not show a request that it answered`);
    if (tries > 0) await delay(50);
    // eslint-disable-next-line no-restricted-syntax -- the API server compares it with the times of log lines
    const text = await mesh.log(where, new Date(Date.now() - 600_000));
    lines = text.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as LogLine] : []));
  }
  const between = lines.slice(
    lines.findIndex(({ uri }) => uri === from) + 1,
    lines.findIndex(({ uri }) => uri === to),
  );
  return between.filter((line) => !line.user_agent.startsWith("meshproof/"));
}

/** istiod asks with Go's HTTP client; Envoy's JWKS fetcher sends no User-Agent of its own. */
function askerOf(line: LogLine): string {
  return line.user_agent.startsWith("Go-http-client/") ? "istiod" : "proxy";
}
