import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// Two run in one directory.
export default defineConfig({ plugins: [react()], cacheDir: `node_modules/.vite-${process.pid}` });
