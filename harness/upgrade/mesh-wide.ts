import type { Scenario } from "../model/scenario.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

const POLICIES = new Set(["AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"]);

/** Whether a scenario has a policy that applies to every workload of the mesh, the streams' too. */
export function policesWholeMesh({ steps }: Scenario): boolean {
  const objects = steps.flatMap(({ apply }) => apply.flatMap((file) => file.objects.map(({ object }) => object)));
  return objects.some(({ kind, metadata, ...rest }) => {
    const spec = rest["spec"] as { selector?: unknown; targetRef?: unknown; targetRefs?: unknown } | undefined;
    const everywhere = (spec?.selector ?? spec?.targetRef ?? spec?.targetRefs) === undefined;
    return POLICIES.has(kind) && metadata.namespace === ROOT_NAMESPACE && everywhere;
  });
}
