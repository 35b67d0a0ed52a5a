import { readyPods } from "../mesh/wait.ts";
import type { Scenario } from "../model/scenario.ts";
import type { Session } from "./session.ts";
import { ISTIOD, ROOT_NAMESPACE } from "../model/cluster.ts";

/**
 * Whether istiod must start anew, because of keys that it has fetched before.
 *
 * It may answer one of a scenario's jwksUris from its cache of an earlier run: it keeps the keys of a URI for 20 minutes
 * (PILOT_JWT_PUB_KEY_REFRESH_INTERVAL). A URI with `${jwksUri.…}` or `${fresh}` is new in each run; any other is not, as on a kept cluster.
 *
 * With a short interval it fetches every URI again that it has ever fetched, those of deleted policies too. If one cannot be fetched, it
 * tries that one for some seconds, and then fetches none for a minute (istio/istio pilot/pkg/model/jwks_resolver.go,
 * networkFetchRetryCountOnRefreshFlow and JwtPubKeyRefreshIntervalOnFailure).
 */
export async function needsNewIstiod(session: Session, scenario: Scenario): Promise<boolean> {
  if (!session.handle.ours) return false;
  if (scenario.mesh.jwksRefresh !== undefined) return true;
  if (scenario.mesh.jwksFetch === "envoy" || !hasFixedJwksUri(scenario)) return false;
  const pods = await readyPods(session.kube, ROOT_NAMESPACE, ISTIOD);
  const starts = pods.flatMap(({ status }) =>
    (status?.containerStatuses ?? []).map(({ state }) => state?.running?.startedAt?.getTime() ?? 0),
  );
  return starts.some((start) => start < session.plan.startedAt);
}

const FRESH = /\$\{(jwksUri\.|fresh\})/;

/** Whether a manifest of the scenario names a jwksUri that is the same in every run. */
export function hasFixedJwksUri(scenario: Scenario): boolean {
  const objects = scenario.steps.flatMap(({ apply }) => apply.flatMap((file) => file.objects));
  return objects.some(({ object }) => jwksUrisOf(object).some((uri) => !FRESH.test(uri)));
}

/** The jwksUris of a RequestAuthentication; none of another object. */
export function jwksUrisOf(object: Readonly<Record<string, unknown>>): string[] {
  const { jwtRules } = (object["spec"] ?? {}) as { jwtRules?: readonly { readonly jwksUri?: unknown }[] };
  return (jwtRules ?? []).flatMap(({ jwksUri }) => (typeof jwksUri === "string" ? jwksUri : []));
}
