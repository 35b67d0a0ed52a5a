/** Why a pod is not ready. */

import type { V1ContainerStatus, V1Pod } from "@kubernetes/client-node";
import { inLanes } from "../lanes.ts";
import type { Kube } from "../mesh/client.ts";
import { visible } from "../safe/visible.ts";

/** Of a log's line. */
const LINE_KEPT = 300;

/** {@link podTrouble}, and the last line that each container wrote which ends again and again. */
export async function findTrouble(
  kube: { readonly core: Pick<Kube["core"], "readNamespacedPodLog"> },
  pod: V1Pod,
): Promise<string> {
  const { name = "", namespace = "" } = pod.metadata ?? {};
  const ending = statusesOf(pod).filter(({ state }) => state?.waiting?.reason === "CrashLoopBackOff");
  const lines = await inLanes(ending, async ({ name: container }) => {
    const log = await kube.core.readNamespacedPodLog({ name, namespace, container, tailLines: 1 }).catch(() => "");
    return log.trim() === "" ? [] : [`${container} wrote at last: ${visible(log.trim()).slice(0, LINE_KEPT)}`];
  });
  return [podTrouble(pod), ...lines.flat()].join("; ");
}

/** What a pod's status says that is not well. */
export function podTrouble(pod: V1Pod): string {
  const waiting = statusesOf(pod).flatMap((c) => {
    const state = c.state?.waiting ?? c.state?.terminated;
    return state && state.reason !== "Completed"
      ? [`${c.name} ${state.reason ?? "waits"}${state.message ? ` (${state.message})` : ""}`]
      : [];
  });
  const conditions = (pod.status?.conditions ?? []).flatMap((c) =>
    c.status === "False" && c.message ? [c.message] : [],
  );
  return `pod ${pod.metadata?.name ?? "?"}: ${[...waiting, ...conditions].join(", ") || (pod.status?.phase ?? "no status")}`;
}

function statusesOf({ status }: V1Pod): V1ContainerStatus[] {
  return [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
}
