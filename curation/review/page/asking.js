// Questions to the server. The token stands behind the hash of the address, and is sent with each.

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

async function answered(path, options) {
  const response = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Error(answer.error ?? `the server answered ${response.status}`);
}

export async function ask(path, question, signal) {
  const options = question === undefined ? {} : {
    method: "POST", body: JSON.stringify(question), headers: { "Content-Type": "application/json" },
  };
  return (await answered(path, { ...options, signal })).json();
}

export async function sound(clip) {
  return (await answered(`/api/clips/${clip}/sound`, {})).blob();
}

// Asks the newest question only: one that is overtaken is given up, and answers nothing.
export function latest(path, use, onFault) {
  let running = null;
  return async (question) => {
    running?.abort();
    const mine = (running = new AbortController());
    try {
      const answer = await ask(path, question, mine.signal);
      if (!mine.signal.aborted) use(answer, question);
    } catch (error) {
      if (error.name !== "AbortError") onFault(error);
    }
  };
}
