// What the wearer of a BBC micro:bit (V1) is doing, twice a second. Strap it to the wrist.
//
// It has no gyroscope. The network was trained to do without: rotations of 0 stand for none.
// Boards of version 1.3 have an accelerometer MMA8653FC, those of 1.5 an LSM303AGR.
#include <Wire.h>
#include <motion.h>

static const uint8_t MMA8653 = 0x1D, LSM303 = 0x19;  // their addresses
static activity_state state;
static motion filter;
static unsigned long next;
static int readings;
static uint8_t sensor;

static bool put(uint8_t address, uint8_t place, uint8_t value) {
  Wire.beginTransmission(address);
  Wire.write(place);
  Wire.write(value);
  return Wire.endTransmission() == 0;
}

// Up to 8 g either way, at least 100 readings a second; false where there is no such sensor.
static bool start() {
  sensor = MMA8653;
  if (put(sensor, 0x2A, 0) && put(sensor, 0x0E, 2) && put(sensor, 0x2A, 1)) return true;
  sensor = LSM303;
  return put(sensor, 0x20, 0x57) && put(sensor, 0x23, 0xA8);
}

// Both sensors have three numbers of 16 bits for their range of 8 g: about four for each mg.
static void read(int16_t *mg) {
  uint8_t bytes[6];
  Wire.beginTransmission(sensor);
  Wire.write(sensor == MMA8653 ? 0x01 : 0xA8);  // 0x28, and on from there
  Wire.endTransmission(false);
  Wire.requestFrom(sensor, (uint8_t)6);
  for (int i = 0; i < 6; ++i) bytes[i] = (uint8_t)Wire.read();
  const int high = sensor == MMA8653 ? 0 : 1;  // which byte comes first
  for (int i = 0; i < 3; ++i) {
    mg[i] = (int16_t)(bytes[2 * i + high] << 8 | bytes[2 * i + 1 - high]) / 4;
  }
}

void setup() {
  Serial.begin(115200);
  Wire.begin();
  while (!start()) {
    Serial.println("no sensor");
    delay(1000);
  }
  activity_reset(&state);  // once: the network forgets by itself what is over
  next = millis();
}

void loop() {
  static const int16_t dps[3] = {0, 0, 0};
  int16_t mg[3];
  motion_number x[ACTIVITY_INPUT_0_SIZE], y[ACTIVITY_OUTPUT_0_SIZE];

  while ((long)(millis() - next) < 0) {}
  next += 100;  // ten readings a second, as in training
  read(mg);
  motion_input(&filter, mg, dps, x);
  activity_step(&state, x, y);
  if (++readings % 5 == 0) Serial.println(motion_names[motion_class(y)]);
}
