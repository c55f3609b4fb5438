// The API's documentation: Swagger UI reads /openapi.json.

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#documentation",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null, // no service of others
});
