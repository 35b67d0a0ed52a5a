/** Why a step's config is not in force at a proxy. */

import type { ChangedObject, ObjectRef, PodRef, StepFinding } from "../model/finding.ts";
import type { unexplained } from "../verdict/proxy-config.ts";
import { findForeign, refOf } from "./foreign.ts";
import type { Awaited, PushingMesh } from "./in-force.ts";
import type { Proxy } from "./places.ts";

/** What a proxy still lacks, or holds and should not. */
export interface Missing {
  /** `unread`: it does not show the mark at all. */
  readonly why: "unread" | "warming" | "rejected" | "not-rejected" | "content" | "keys";
  readonly details?: string;
  readonly objects?: readonly ObjectRef[];
  readonly unexplained?: ReturnType<typeof unexplained>;
}
export type Left = Missing & { readonly proxy: Proxy };

/**
 * Why the wait for one proxy has ended without success.
 * @param failedFetches reads istiod's log once, however many proxies ask
 */
export async function findProblems(
  mesh: PushingMesh,
  { changes, keys }: Awaited,
  left: Left,
  failedFetches: () => Promise<readonly string[]>,
): Promise<StepFinding[]> {
  const proxy = podOf(left.proxy);
  const afterMs = mesh.plan.inForceLimitMs;
  const objects = changes.map(({ verb, manifest }): ChangedObject => ({
    ...refOf(manifest),
    ...(verb === "delete" && { deleted: true as const }),
  }));
  switch (left.why) {
    case "unread": {
      // A gateway has listeners only where a Gateway asks for them.
      const config = await mesh.proxyConfig(left.proxy, "");
      if (config?.listeners.length === 0) return [{ kind: "no-listener", proxy, objects }];
      const notFetched = await failedFetches();
      return [{ kind: "old-config", proxy, objects, afterMs, ...(notFetched.length > 0 && { notFetched }) }];
    }
    case "warming":
      return [{ kind: "warming", proxy, objects, afterMs }];
    case "rejected":
      return [{ kind: "config-rejected", proxy, objects, details: left.details ?? "" }];
    case "keys":
      return [{ kind: "other-keys", proxy, issuer: keys?.issuer ?? "", afterMs }];
    case "not-rejected":
      return [{ kind: "config-not-rejected", proxy, objects }];
    case "content": {
      const { objects: lacking = [] } = left;
      const policies = await findForeign(mesh.kube, left.proxy, left.unexplained);
      // Any remainder is a problem.
      if (lacking.length + policies.length === 0) return [{ kind: "old-config", proxy, objects, afterMs }];
      return [
        ...(lacking.length > 0 ? [{ kind: "not-in-force", proxy, objects: lacking, afterMs } as const] : []),
        ...(policies.length > 0 ? [{ kind: "foreign-policies", proxy, policies } as const] : []),
      ];
    }
  }
}

export function podOf({ namespace, pod }: Proxy): PodRef {
  return { namespace, pod };
}
