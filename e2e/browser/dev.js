// `keywright dev` on the samples, in folders of its own.

import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SAMPLES = fileURLToPath(new URL('../../config/samples', import.meta.url));

// A key set that is made in no time.
const ID_TOKEN_KEYS = `
apiVersion: keywright.dev/v1alpha1
kind: JsonWebKeySet
metadata: {name: hydra.openid.id-token}
spec: {algorithms: [ES256]}
`;

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// Starts the program. Gives the addresses of server and sample app, and `stop`.
export async function start() {
  const root = await mkdtemp(join(tmpdir(), 'keywright-browser-'));
  const manifests = join(root, 'manifests');
  const [server, admin, app] = await Promise.all([freePort(), freePort(), freePort()]);
  await cp(SAMPLES, manifests, { recursive: true });
  await writeFile(join(manifests, 'id-token-keys.yaml'), ID_TOKEN_KEYS);
  const manifest = join(manifests, 'sample-app.yaml');
  await writeFile(manifest, (await readFile(manifest, 'utf8')).replaceAll('5555', String(app)));

  const arguments_ = ['dev', '--manifests', manifests, '--data', join(root, 'data'), '--sample-app', `127.0.0.1:${app}`];
  const child = spawn(process.env.KEYWRIGHT_BINARY, arguments_, {
    env: { PATH: process.env.PATH, SERVE_PUBLIC_PORT: String(server), SERVE_ADMIN_PORT: String(admin) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGINT');
    await ended;
    await rm(root, { recursive: true });
  };
  try {
    await welcomed(child);
  } catch (error) {
    await stop();
    throw error;
  }
  return { server: `http://127.0.0.1:${server}`, app: `http://127.0.0.1:${app}/`, stop };
}

// Waits until the program has looked at all resources.
function welcomed(child) {
  return new Promise((resolve, reject) => {
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        said += text;
        if (said.includes('Ctrl-C stops.')) resolve();
      });
    }
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`dev ended with ${code}:\n${said}`)));
  });
}
