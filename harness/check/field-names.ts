/** istiod prints Protobuf's JSON names (`httpFilters`), Envoy the field's own (`http_filters`), which the oracle reads. */

/** Fields whose keys are data: names of filters, rules and providers, and free JSON. */
const MAPS: ReadonlySet<string> = new Set([
  "policies",
  "providers",
  "requirement_map",
  "typed_per_filter_config",
  "filter_metadata",
  "typed_filter_metadata",
  "static_layer",
  "exact_match_map",
  "prefix_match_map",
]);

export function withFieldNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withFieldNames);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      const field = fieldName(name);
      return [field, MAPS.has(field) ? ofMap(inner) : withFieldNames(inner)];
    }),
  );
}

function ofMap(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return withFieldNames(value);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withFieldNames(inner)]));
}

function fieldName(name: string): string {
  return name.startsWith("@") ? name : name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
