import type { Manifest } from "../mesh/client.ts";
import { inLanes } from "../lanes.ts";
import { JOURNAL_LABEL } from "../mesh/ledger.ts";
import type { Scenario } from "../model/scenario.ts";
import { markerOf } from "../verdict/proxy-config.ts";
import type { Session } from "./session.ts";
import { RUN_LABEL, WORKLOAD_LABEL } from "./workloads.ts";

/**
 * Removes what scenarios have left in the cluster because their worker ended early; what is in other lanes is theirs. On a cluster
 * that is ours no other run is at work, so what an earlier run has left goes as well; elsewhere only what bears this run's label.
 * @param scenarios whose manifests name the kinds to look for
 * @param options.allLanes when no scenario runs any more
 */
export async function sweep(
  session: Session,
  scenarios: readonly Scenario[],
  { allLanes = false }: { readonly allLanes?: boolean } = {},
): Promise<void> {
  const run = session.handle.ours ? RUN_LABEL : `${RUN_LABEL}=${session.plan.runId}`;
  const label = `${run},!${WORKLOAD_LABEL},!${JOURNAL_LABEL}`;
  await inLanes(kindsOf(scenarios), async ({ apiVersion, kind }) => {
    const { objects } = session.kube;
    const list = await objects.list(apiVersion, kind, undefined, undefined, undefined, undefined, undefined, label);
    for (const item of list.items)
      if (allLanes || !session.isOthers(item.metadata?.namespace))
        await objects.remove({ ...item, apiVersion, kind } as Manifest);
  });
}

function kindsOf(scenarios: readonly Scenario[]): Pick<Manifest, "apiVersion" | "kind">[] {
  const files = scenarios.flatMap(({ steps }) => steps.flatMap(({ apply }) => apply));
  const manifests = [markerOf("", ""), ...files.flatMap(({ objects }) => objects.map(({ object }) => object))];
  return [
    ...new Map(manifests.map(({ apiVersion, kind }) => [`${apiVersion} ${kind}`, { apiVersion, kind }])).values(),
  ];
}
