/** Mesh-wide settings in a ticket: those that meshproof applies too, those that change no answer, and those that may decide. */

import { parse } from "yaml";
import type { JwksFetcher, MeshSetting, PathNormalization } from "../model/cluster.ts";
import type { Difference } from "../model/ticket.ts";
import type { TicketObject } from "./ticket.ts";
import { groupOf, isMeshConfig, refOf } from "./understood.ts";

interface MeshOfTicket {
  readonly mesh: MeshSetting;
  readonly differences: readonly Difference[];
}

interface Leaf {
  /** The field's path in an IstioOperator: `meshConfig.trustDomain`. */
  readonly field: string;
  readonly value: unknown;
}

/** Values of `meshConfig.pathNormalization.normalization`; DEFAULT is BASE (istio/api, mesh/v1alpha1, ProxyPathNormalization). */
const NORMALIZATIONS: Readonly<Record<string, PathNormalization>> = {
  DEFAULT: "BASE",
  BASE: "BASE",
  NONE: "NONE",
  MERGE_SLASHES: "MERGE_SLASHES",
  DECODE_AND_MERGE_SLASHES: "DECODE_AND_MERGE_SLASHES",
};

/** Values of istiod's environment variable (pilot/pkg/features/pilot.go). */
const FETCHERS: Readonly<Record<string, JwksFetcher>> = {
  false: "istiod",
  istiod: "istiod",
  true: "hybrid",
  hybrid: "hybrid",
  envoy: "envoy",
};

const TAKEN: Readonly<Record<string, (value: string) => MeshSetting>> = {
  "meshConfig.pathNormalization.normalization": (value) => known("pathNormalization", NORMALIZATIONS[value]),
  "values.pilot.env.PILOT_JWT_ENABLE_REMOTE_JWKS": (value) => known("jwksFetch", FETCHERS[value]),
};

function known<Key extends keyof MeshSetting>(key: Key, value: MeshSetting[Key] | undefined): MeshSetting {
  return value === undefined ? {} : { [key]: value };
}

/** Values that meshproof's mesh has too. */
const SAME: Readonly<Record<string, unknown>> = {
  "meshConfig.trustDomain": "cluster.local",
  "values.global.trustDomain": "cluster.local",
  "meshConfig.rootNamespace": "istio-system",
  "values.global.istioNamespace": "istio-system",
  "values.global.proxy.clusterDomain": "cluster.local",
  meshNetworks: "networks: {}",
};

/** Settings that change no answer. A CUSTOM policy that uses an extension provider is left out and reported itself. */
const QUIET = new RegExp(
  "^(profile|hub|tag|revision|namespace|values\\.revision|values\\.global\\.(hub|tag|logging|imagePullPolicy|imagePullSecrets|proxy\\.(resources|logLevel))" +
    "|meshConfig\\.(accessLog\\w+|enableTracing|enablePrometheusMerge|extensionProviders|defaultConfig\\.(discoveryAddress|tracing|holdApplicationUntilProxyStarts|terminationDrainDuration|concurrency)|defaultProviders|tracing)" +
    "|components\\.\\w+(\\[\\d+\\])?\\.(enabled|name|k8s\\.(resources|hpaSpec|replicaCount|podDisruptionBudget|strategy|nodeSelector|tolerations|affinity)))(\\.|\\[|$)",
);

/** @returns the mesh setting, and every field that is not in it. Two objects that contradict each other set nothing. */
export function meshSettingsOf(objects: readonly TicketObject[]): MeshOfTicket {
  const differences: Difference[] = [];
  const taken: { readonly setting: MeshSetting; readonly difference: Difference }[] = [];
  for (const object of objects)
    for (const { field, value } of leavesIn(object)) {
      const setting = TAKEN[field]?.(String(value)) ?? {};
      const difference = { kind: "mesh-setting", object: refOf(object), field } as const;
      if (Object.keys(setting).length > 0) taken.push({ setting, difference: { ...difference, decides: "unknown" } });
      else {
        const quiet = QUIET.test(field) || (field in SAME && SAME[field] === value);
        differences.push({ ...difference, decides: quiet ? "no" : "unknown" });
      }
    }
  const mesh = Object.assign({}, ...taken.map(({ setting }) => setting)) as MeshSetting;
  const agrees = taken.every(({ setting }) =>
    Object.entries(setting).every(([key, value]) => mesh[key as keyof MeshSetting] === value),
  );
  if (agrees) return { mesh, differences };
  return { mesh: {}, differences: [...differences, ...taken.map(({ difference }) => difference)] };
}

function leavesIn(object: TicketObject): Leaf[] {
  if (groupOf(object.apiVersion) === "install.istio.io") return leavesOf(withEnv(object.spec ?? {}));
  if (!isMeshConfig(object)) return [];
  const { mesh, ...more } = object.data ?? {};
  return leavesOf({ ...more, meshConfig: readMesh(mesh) });
}

/** A mesh config that cannot be read counts as one unknown setting. */
function readMesh(text: string | undefined): unknown {
  try {
    return parse(text ?? "{}") as unknown;
  } catch {
    return text;
  }
}

/** Collects istiod's environment and the mesh config from all places in an IstioOperator. */
function withEnv(spec: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const made = structuredClone(spec) as {
    meshConfig?: object;
    values?: { meshConfig?: object; pilot?: { env?: object } };
    components?: { pilot?: { k8s?: { env?: { name: string; value?: unknown }[] } } };
  };
  const { values, components } = made;
  if (values?.meshConfig !== undefined) {
    made.meshConfig = { ...values.meshConfig, ...made.meshConfig };
    delete values.meshConfig;
  }
  const env = components?.pilot?.k8s?.env;
  if (Array.isArray(env)) {
    const pairs = Object.fromEntries(env.map(({ name, value }) => [name, value]));
    made.values = { ...values, pilot: { ...values?.pilot, env: { ...values?.pilot?.env, ...pairs } } };
    delete components!.pilot!.k8s!.env;
  }
  return made;
}

/** `a.b[0].c` of every value that is not a map and not a list; an empty one sets nothing. */
function leavesOf(value: unknown, path = ""): Leaf[] {
  if (Array.isArray(value)) return value.flatMap((inner, index) => leavesOf(inner, `${path}[${index}]`));
  if (typeof value === "object" && value !== null)
    return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, path === "" ? key : `${path}.${key}`));
  return [{ field: path, value }];
}
