/** Text for people: cut, counted, with units. Each format escapes it for HTML, XML or Markdown. */

/** The start of a text: at most this many bytes of UTF-8, never half a character. */
export function beginning(text: string, bytes: number): string {
  if (text.length <= bytes && Buffer.byteLength(text) <= bytes) return text;
  const head = Buffer.from(text.slice(0, bytes)).subarray(0, bytes);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(head, { stream: true });
}

/** The same, followed by the full size: `… (cut: 2 KiB of 10 MiB)`. */
export function cut(text: string, bytes: number): string {
  const kept = beginning(text, bytes);
  return kept === text ? text : `${kept}… (cut: ${formatBytes(bytes)} of ${formatBytes(Buffer.byteLength(text))})`;
}

/** Whether `cut` shortened a text; this also works for a result that was written and read again. */
export const isCut = (text: string): boolean => /… \(cut: [\d.]+ \w+ of [\d.]+ \w+\)$/.test(text);

/** `512 B`, `2 KiB`, `10.0 MiB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const [value, unit] = bytes < 1024 ** 2 ? [bytes / 1024, "KiB"] : [bytes / 1024 ** 2, "MiB"];
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${unit}`;
}

/** Milliseconds for people: `12 ms`, `0.42 s`, `3.1 s`, `2 min 5 s`. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "never";
  if (ms < 100) return `${Math.round(ms)} ms`;
  if (ms < 995) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** `1 check`, `2 checks`, `2 proxies`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** The lines of a table with two spaces between columns. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** `2026-11-29 02:51:48 UTC`, of a time in ISO 8601. */
export function formatTime(time: string): string {
  return time.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
}
