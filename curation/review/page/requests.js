// Requests to the server. The token stands behind the hash of the address, and is sent with each.

const KEY = "tagscribe-token";

function token() {
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", "/");
  }
  return sessionStorage.getItem(KEY) ?? "";
}

const headers = { "X-Tagscribe-Token": token() };

async function fetchChecked(path, options) {
  const response = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
  if (response.ok) return response;
  const failure = await response.json().catch(() => ({}));
  throw new Error(failure.error ?? `the server answered ${response.status}`);
}

export async function request(path, body, signal) {
  const options = body === undefined ? {} : {
    method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
  };
  return (await fetchChecked(path, { ...options, signal })).json();
}

export async function fetchSound(clip) {
  return (await fetchChecked(`/api/clips/${clip}/sound`, {})).blob();
}

// Sends requests of which only the newest counts: an older one is aborted and has no result.
export function latest(path, onResult, onFault) {
  let running = null;
  return async (body) => {
    running?.abort();
    const mine = (running = new AbortController());
    try {
      const result = await request(path, body, mine.signal);
      if (!mine.signal.aborted) onResult(result, body);
    } catch (error) {
      if (error.name !== "AbortError") onFault(error);
    }
  };
}
