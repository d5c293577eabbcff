/**
 * The entries of a map that came as JSON; none where it is no map.
 *
 * @param {any} map
 * @returns {[string, any][]}
 */
export function ownEntries(map) {
  return map !== null && typeof map === "object" && !Array.isArray(map) ? Object.entries(map) : [];
}
