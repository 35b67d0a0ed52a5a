/** Names of workloads in their certificates (SPIFFE), without `spiffe://`, as policies compare them. */

/** Istio's default, which meshproof's meshes have. */
const TRUST_DOMAIN = "cluster.local";

export function identityOf(
  { namespace, serviceAccount }: { readonly namespace: string; readonly serviceAccount: string },
  trustDomain = TRUST_DOMAIN,
): string {
  return `${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

/** istiod names the service account of a waypoint like its Gateway. */
export function waypointIdentity({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return identityOf({ namespace, serviceAccount: name });
}
