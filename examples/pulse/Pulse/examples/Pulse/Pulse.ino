// Runs one step of the model every 10 ms and prints its output.
#include <Pulse.h>

static pulse_state state;  // one for each stream
static float x0[PULSE_INPUT_0_SIZE];
static float y0[PULSE_OUTPUT_0_SIZE];

void setup() {
  Serial.begin(115200);
  pulse_reset(&state);
}

void loop() {
  // Put your own readings here, scaled as they were in training.
  for (int i = 0; i < PULSE_INPUT_0_SIZE; ++i) x0[i] = (float)analogRead(A0) / 1023;
  if (pulse_step(&state, x0, y0)) {  // 0 while it warms up
    for (int i = 0; i < PULSE_OUTPUT_0_SIZE; ++i) {
      Serial.print(y0[i], 6);
      Serial.print(' ');
    }
    Serial.println();
  }
  delay(10);
}
