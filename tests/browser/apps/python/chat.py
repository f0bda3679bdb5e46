"""A page, a websocket, and a redirect that FastAPI makes by itself."""

from fastapi import FastAPI, WebSocket
from fastapi.responses import HTMLResponse

app = FastAPI()


@app.get("/")
def page():
    return HTMLResponse("""<!DOCTYPE html><title>Chat</title><link rel="icon" href="data:,"><h1>Hello from FastAPI</h1><p id="said"></p>
<script>
  const socket = new WebSocket(new URL("ws", location.href.replace(/^http/, "ws")));
  socket.onopen = () => socket.send("ahoy");
  socket.onmessage = (event) => (document.getElementById("said").textContent = event.data);
</script>""")


@app.get("/ships/")
def ships():
    return ["Pinta"]


@app.websocket("/ws")
async def talk(websocket: WebSocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"{text} to you")
