import {
  deployBaseline,
  findRestarts,
  guardIngress,
  readStreamPods,
  type BaselineOptions,
  type Guarded,
} from "./baseline.ts";
import { startStream, steadyNow, untilRight, type RunningStream } from "./send.ts";
import { judgeStream, STEADY, type Phase, type StreamRecord } from "./verdict.ts";
import { isRefusedByScenario } from "./upgrade.ts";
import type { UpgradeResult } from "../model/upgrade.ts";
import type { Progress } from "../progress.ts";

/** Streams of requests that continue until they are ended, during any change of the mesh. */
export interface Watch {
  /** Starts a new phase. */
  phase(name: string): void;
  /** Runs a function with additional streams at the mesh's ingress gateway; each has right answers before and after it. */
  withIngress(run: () => Promise<void>): Promise<void>;
  /** Ends the streams, removes their workloads, and judges them. */
  end(): Promise<Pick<UpgradeResult, "phases" | "streams" | "problems">>;
  /** Ends the streams without judging them. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Deploys the streams' workloads and starts the streams.
 * @throws MeshproofError ERR_WORKLOAD_NOT_READY, ERR_PROBE
 */
export async function startWatch(
  options: BaselineOptions & { readonly signal: AbortSignal; readonly progress: Progress } & Pick<
      UpgradeResult,
      "meshWide"
    >,
): Promise<Watch> {
  const { kube, signal, progress } = options;
  const phases: Phase[] = [];
  const ended: StreamRecord[] = [];
  const running = new Map<Guarded, readonly RunningStream[]>();
  const streams = (): RunningStream[] => [...running.values()].flat();

  const start = async (guarded: Guarded): Promise<void> => {
    const started: RunningStream[] = [];
    running.set(guarded, started);
    for (const request of guarded.requests) started.push(await startStream(kube, guarded.client, request));
  };
  const stop = async (guarded: Guarded, steadyFromMs: number): Promise<void> => {
    const own = running.get(guarded) ?? [];
    running.delete(guarded);
    ended.push(...(await Promise.all(own.map((stream) => stream.stop(steadyFromMs)))));
  };
  const settle = async (): Promise<number> => {
    const fromMs = steadyNow();
    // One more, as the first answer may belong to an earlier request.
    await untilRight(streams(), STEADY + 1, signal);
    return fromMs;
  };

  const isExcused = (phase: string, status: number): boolean => isRefusedByScenario(options, { phase, status });
  const baseline = await deployBaseline(options);
  const podsBefore = await readStreamPods(kube);
  const watch: Watch = {
    phase(name) {
      phases.push({ name, fromMs: steadyNow() });
      progress(`upgrade: ${name}`);
    },
    async withIngress(run) {
      progress("preparing the streams at the ingress gateway");
      const ingress = await guardIngress(options);
      watch.phase("before");
      await start(ingress);
      await settle();
      await run();
      watch.phase("after");
      await stop(ingress, await settle());
      await ingress.remove();
    },
    async end() {
      const steadyFromMs = await settle();
      const endedMs = steadyNow();
      for (const guarded of [...running.keys()]) await stop(guarded, steadyFromMs);
      const problems = await findRestarts(kube, podsBefore);
      await baseline.remove();
      return {
        phases: phases.map(({ name, fromMs }, index) => ({
          name,
          startedAt: new Date(fromMs).toISOString(),
          durationMs: (phases[index + 1]?.fromMs ?? endedMs) - fromMs,
        })),
        streams: ended.map((record) => judgeStream(record, phases, isExcused)),
        problems,
      };
    },
    async [Symbol.asyncDispose]() {
      for (const guarded of [...running.keys()]) await stop(guarded, steadyNow());
    },
  };
  await start(baseline);
  return watch;
}
