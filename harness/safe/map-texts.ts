/**
 * Maps every string in plain data: values, and names of fields too.
 * @param change gets the name of the field as well, if the string is the value of one
 */
export function mapTexts<Data>(data: Data, change: (text: string, field?: string) => string): Data {
  const map = (value: unknown, field?: string): unknown => {
    if (typeof value === "string") return change(value, field);
    if (Array.isArray(value)) return value.map((item) => map(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [change(name), map(inner, name)]));
  };
  return map(data) as Data;
}
