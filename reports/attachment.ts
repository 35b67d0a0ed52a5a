import type { NotAttached } from "../harness/model/attachment.ts";
import type { ObjectFinding } from "../harness/model/finding.ts";

/** Why a policy with `targetRefs` holds at none of the judging proxies: each reason once, after the proxies that it is about. */
export function describeAttachment({ proxies }: Extract<ObjectFinding, { kind: "attached-to-no-proxy" }>): string {
  if (proxies.length === 0) return "these requests pass no proxy";
  const reasons = proxies.flatMap(({ because, namespace, pod }) =>
    because.map((reason) => ({ text: describeReason(reason), pod: `${namespace}/${pod}` })),
  );
  return [...Map.groupBy(reasons, ({ text }) => text)]
    .map(([text, those]) => `${those.map(({ pod }) => pod).join(", ")}: ${text}`)
    .join("; ");
}

function describeReason(reason: NotAttached): string {
  switch (reason.kind) {
    case "other-namespace":
      return "it is in another namespace than the policy";
    case "other-labels":
      return "it does not have the labels of the selector";
    case "selector-at-waypoint":
      return "it is a waypoint, and a selector does not choose waypoints";
    case "target-refs-ignored":
      return "targetRefs are ignored at a proxy without the label gateway.networking.k8s.io/gateway-name, such as a sidecar or a classic gateway";
    case "other-gateway":
      return `it belongs to another Gateway than ${nameTarget(reason)}`;
    case "target-in-other-namespace":
      return `${nameTarget(reason)} is looked for in the policy's own namespace, and this proxy is in another one`;
    case "class-of-no-waypoint":
      return `${nameTarget(reason)} in targetRefs means waypoints (the class istio-waypoint), and it is not a waypoint`;
    case "class-outside-root-namespace":
      return `${nameTarget(reason)} in targetRefs works in the root namespace only`;
    case "service-of-no-waypoint":
      return `${nameTarget(reason)} of the policy's own namespace does not use this waypoint (istio.io/use-waypoint)`;
    case "service-without-waypoint":
      return `a policy for ${nameTarget(reason)} holds at a waypoint, and it is not a waypoint`;
  }
}

function nameTarget({ target: { kind, name } }: Extract<NotAttached, { target: unknown }>): string {
  return `${kind} ${name}`;
}
