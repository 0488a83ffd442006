<?php

declare(strict_types=1);

namespace Sso\Laravel;

use Illuminate\Contracts\Foundation\Application;
use Illuminate\Cookie\Middleware\AddQueuedCookiesToResponse;
use Illuminate\Cookie\Middleware\EncryptCookies;
use Illuminate\Support\ServiceProvider;
use Sso\LocalUsers;
use SsoClient;

/** Registers the client, the guard `sso`, the middlewares and the page of the redirect URI. */
final class SsoServiceProvider extends ServiceProvider
{
    public function register(): void
    {
        $this->mergeConfigFrom(__DIR__ . '/config.php', 'sso');
        $this->app->bind(SsoClient::class, static function ($app): SsoClient {
            return new SsoClient($app['config']['sso.client'], new LaravelSession($app['session']));
        });
        $this->app['config']->set('auth.guards.sso', ['driver' => 'sso']);
    }

    public function boot(): void
    {
        $this->publishes([__DIR__ . '/config.php' => $this->app->configPath('sso.php')], 'sso-config');
        $this->app['auth']->extend('sso', static function ($app): SsoGuard {
            return new SsoGuard($app->make(SsoClient::class), self::users($app));
        });
        $router = $this->app['router'];
        $router->aliasMiddleware('sso', RequireLogin::class);
        $router->aliasMiddleware('sso.role', RequireLogin::class);
        if (!$this->app->routesAreCached()) { // without the protection by CSRF tokens: SsoClient has its own
            $router->match(['GET', 'POST'], $this->app['config']['sso.path'], SsoController::class)
                ->middleware([EncryptCookies::class, AddQueuedCookiesToResponse::class, BrowserSession::class])
                ->name('sso');
        }
    }

    private static function users(Application $app): ?LocalUsers
    {
        $config = $app['config']['sso'];
        if ($config['users'] !== null) {
            return $app->make($config['users']);
        }
        return $config['model'] === null ? null : new EloquentUsers($config['model'], $config['columns'], $config['create']);
    }
}
