/**
 * Whether a policy holds at a proxy, as istiod decides it: the namespaces that count, then `ShouldAttachPolicy`
 * (istio pilot/pkg/model/policyattachment.go).
 */

import type { NotAttached, PolicyTarget } from "../model/attachment.ts";
import { GATEWAY_API_GROUP } from "../model/target.ts";
import { WAYPOINT_CLASS } from "../model/waypoint.ts";

/** What a proxy is: a workload's, a gateway's (classic, or of the Gateway API), or a waypoint. */
export type ProxyKind = "sidecar" | "gateway" | "waypoint";

/** What of a proxy decides. */
export interface AttachingProxy {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly kind: ProxyKind;
  /** A waypoint's: what uses it. */
  readonly serves?: readonly Served[];
  /** A gateway of the Gateway API where istiod's `ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY` is off. */
  readonly targetRefsOnly?: boolean;
}

/** A Service or ServiceEntry that uses a waypoint. */
export interface Served {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** The fields of a policy that decide. */
interface Policy {
  readonly metadata?: { readonly namespace?: string };
  readonly [field: string]: unknown;
}

/** Which Gateway a proxy is an instance of. Only with this label `targetRefs` count, and without it only the selector does. */
export const GATEWAY_NAME = `${GATEWAY_API_GROUP}/gateway-name`;

/** @returns why it does not hold there, one reason for each thing that the policy names; empty where it does hold */
export function whyNotAttached(policy: Policy, proxy: AttachingProxy, rootNamespace: string): NotAttached[] {
  const namespace = policy.metadata?.namespace ?? "";
  const spec = (policy["spec"] ?? {}) as PolicySpec;
  const targets = targetsOf(policy);
  const gateway = proxy.labels[GATEWAY_NAME];
  if (targets.length === 0) {
    if (namespace !== rootNamespace && namespace !== proxy.namespace) return [{ kind: "other-namespace" }];
    if (gateway !== undefined && proxy.kind === "waypoint") return [{ kind: "selector-at-waypoint" }];
    if (gateway !== undefined && proxy.targetRefsOnly) return [{ kind: "selector-at-gateway" }];
    const wanted = Object.entries(spec.selector?.matchLabels ?? {});
    return wanted.every(([name, value]) => proxy.labels[name] === value) ? [] : [{ kind: "other-labels" }];
  }
  if (gateway === undefined) return [{ kind: "target-refs-ignored" }];
  const found = targets.map((target) => whyNotTarget(target, namespace, { ...proxy, gateway }, rootNamespace));
  const not = found.filter((one) => one !== undefined);
  return not.length < found.length ? [] : not;
}

function whyNotTarget(
  target: PolicyTarget,
  namespace: string,
  proxy: AttachingProxy & { readonly gateway: string },
  rootNamespace: string,
): NotAttached | undefined {
  const { group, kind, name } = target;
  if (kind === "GatewayClass" && group === GATEWAY_API_GROUP) {
    if (name !== WAYPOINT_CLASS || proxy.kind !== "waypoint") return { kind: "class-of-no-waypoint", target };
    return namespace === rootNamespace ? undefined : { kind: "class-outside-root-namespace", target };
  }
  if (kind === "Service" || kind === "ServiceEntry") {
    if (proxy.kind !== "waypoint") return { kind: "service-without-waypoint", target };
    const serves = proxy.serves ?? [];
    // A policy names it in its own namespace.
    return serves.some((one) => one.kind === kind && one.namespace === namespace && one.name === name)
      ? undefined
      : { kind: "service-of-no-waypoint", target };
  }
  if (namespace !== proxy.namespace) return { kind: "target-in-other-namespace", target };
  return kind === "Gateway" && group === GATEWAY_API_GROUP && name === proxy.gateway
    ? undefined
    : { kind: "other-gateway", target };
}

/** Whether a policy holds at a proxy. */
export function isAttached(policy: Policy, proxy: AttachingProxy, rootNamespace: string): boolean {
  return whyNotAttached(policy, proxy, rootNamespace).length === 0;
}

interface PolicySpec {
  readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
  readonly targetRef?: PolicyTarget;
  readonly targetRefs?: readonly PolicyTarget[];
}

/** What a policy names in `targetRefs`, or in the older `targetRef`. */
export function targetsOf(policy: Policy): readonly PolicyTarget[] {
  const { targetRef, targetRefs = [] } = (policy["spec"] ?? {}) as PolicySpec;
  const named = targetRefs.length === 0 && targetRef !== undefined ? [targetRef] : targetRefs;
  return named.map(({ group = "", kind, name }) => ({ group, kind, name }));
}
